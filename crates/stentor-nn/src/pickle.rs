//! Tensors of a file written by `torch.save`: a zip archive with a pickle that names tensors and one entry for each storage.
//!
//! candle's unpickler reads the program; what is ours is the walk over nested dictionaries, a bare tensor at the top, and
//! strict bounds on what a tensor may claim of its storage.

use crate::{NnError, Result, cut_off};
use candle_core::{
    DType,
    pickle::{Object, Stack, TensorInfo},
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read, Seek as _},
    path::Path,
};
use zip::ZipArchive;

/// Deepest nesting of dictionaries that is searched for tensors.
const MAX_DEPTH: usize = 4;

pub(crate) struct Pickle {
    archive: RefCell<ZipArchive<BufReader<File>>>,
    tensors: BTreeMap<String, TensorInfo>,
    origin: String,
}

impl Pickle {
    /// Reads the names and layouts. Keys of nested dictionaries are joined by dots; a bare tensor has the empty name.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let format = |message: String| NnError::Format { origin: origin.clone(), message };
        let io = |source| NnError::Io { path: path.to_owned(), source };
        let mut file = File::open(path).map_err(io)?;
        let mut start = Vec::new();
        file.by_ref().take(4).read_to_end(&mut start).and_then(|_| file.rewind()).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        let mut archive = ZipArchive::new(BufReader::new(file))
            .map_err(|error| format(cut_off::archive(&start, size).unwrap_or_else(|| error.to_string())))?;
        let index = (0..archive.len())
            .find(|&index| {
                archive
                    .name_for_index(index)
                    .is_some_and(|name| name.is_ok_and(|name| name.ends_with("/data.pkl")))
            })
            .ok_or_else(|| format("no data.pkl inside".to_owned()))?;
        let mut entry = archive.by_index(index).map_err(|error| format(error.to_string()))?;
        let directory =
            entry.name().map_err(|error| format(error.to_string()))?.trim_end_matches(".pkl").to_owned();
        let mut program = Vec::new();
        entry.read_to_end(&mut program).map_err(|error| format(error.to_string()))?;
        drop(entry);
        let mut stack = Stack::empty();
        let root = stack.read_loop(&mut program.as_slice()).and_then(|()| stack.finalize());
        let root = root.map_err(|error| format(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        collect(root, String::new(), Path::new(&directory), MAX_DEPTH, &mut tensors).map_err(format)?;
        Ok(Self { archive: RefCell::new(archive), tensors, origin })
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.layout.dims())
    }

    /// The type of a tensor and its elements' bytes in row-major order, however they are stored: a voice's mel, for one, is
    /// a transposed view.
    pub(crate) fn bytes(&self, name: &str) -> Result<(DType, Vec<u8>)> {
        let format = |message: String| NnError::Format { origin: self.origin.clone(), message };
        let info = self.tensors.get(name).ok_or_else(|| format(format!("no tensor `{name}`")))?;
        let mut archive = self.archive.borrow_mut();
        let mut entry =
            archive.by_name(&info.path).map_err(|error| format(format!("{}: {error}", info.path)))?;
        // candle gives the offset into the storage in bytes.
        let (start, width) = (info.layout.start_offset(), info.dtype.size_in_bytes());
        let beyond =
            || format(format!("tensor `{name}` reaches beyond its storage of {} bytes", entry.size()));
        let span = span(info).and_then(|elements| elements.checked_mul(width)).ok_or_else(beyond)?;
        let end = start.checked_add(span).filter(|end| *end as u64 <= entry.size()).ok_or_else(beyond)?;
        let mut bytes = Vec::with_capacity(end);
        entry.by_ref().take(end as u64).read_to_end(&mut bytes).map_err(|error| format(error.to_string()))?;
        if bytes.len() != end {
            return Err(format(format!("the storage of tensor `{name}` is cut short")));
        }
        bytes.drain(..start);
        if info.layout.is_contiguous() {
            return Ok((info.dtype, bytes));
        }
        // A view that repeats elements would take more than its storage.
        if info.layout.shape().elem_count() * width > bytes.len() {
            return Err(format(format!("tensor `{name}` repeats what is stored once")));
        }
        let index = offsets(info.layout.dims(), info.layout.stride());
        Ok((info.dtype, index.flat_map(|index| &bytes[index * width..][..width]).copied().collect()))
    }
}

/// Where in the storage a tensor's elements lie, in row-major order.
fn offsets(dims: &[usize], strides: &[usize]) -> impl Iterator<Item = usize> {
    (0..dims.iter().product()).map(move |flat: usize| {
        let mut rest = flat;
        let each = dims.iter().zip(strides).rev().map(|(dim, stride)| {
            let at = rest % dim;
            rest /= dim;
            at * stride
        });
        each.sum()
    })
}

/// Elements of its storage that a tensor reaches over; `None` where that is absurd.
fn span(info: &TensorInfo) -> Option<usize> {
    let (dims, strides) = (info.layout.dims(), info.layout.stride());
    if dims.len() != strides.len() {
        return None;
    }
    dims.iter().try_fold(1_usize, |elements, dim| elements.checked_mul(*dim))?;
    if dims.contains(&0) {
        return Some(0);
    }
    let reach =
        |last: usize, (dim, stride): (&usize, &usize)| last.checked_add((dim - 1).checked_mul(*stride)?);
    dims.iter().zip(strides).try_fold(0_usize, reach)?.checked_add(1)
}

/// Finds the tensors in `object`; the error is a message.
fn collect(
    object: Object,
    name: String,
    directory: &Path,
    depth: usize,
    tensors: &mut BTreeMap<String, TensorInfo>,
) -> std::result::Result<(), String> {
    let Object::Dict(entries) = object else {
        let info = object.into_tensor_info(Object::Unicode(name.clone()), directory);
        if let Some(info) = info.map_err(|error| format!("{name}: {error:?}"))? {
            tensors.insert(name, info);
        }
        return Ok(());
    };
    if depth == 0 {
        return Err(format!("dictionaries are nested too deeply at `{name}`"));
    }
    for (key, value) in entries {
        if let Object::Unicode(key) = key {
            let full = if name.is_empty() { key } else { format!("{name}.{key}") };
            collect(value, full, directory, depth - 1, tensors)?;
        }
    }
    Ok(())
}
