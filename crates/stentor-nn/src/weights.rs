//! Strict access to a checkpoint's tensors.
//!
//! Every tensor is asked for with its shape; what is missing or misshapen is an error that names it, and what nobody asked
//! for can be listed at the end. Values arrive as f32 whatever their stored type.

use crate::{NnError, Result, cut_off, pages, pickle::Pickle};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors, tensor::Metadata};
use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    fs::File,
    path::Path,
};
use stentor_types::Precision;

/// A checkpoint: safetensors, in a file or embedded, or a file written by `torch.save`.
pub struct Weights {
    origin: String,
    source: Source,
    /// From a tensor's name in the model to its name in the checkpoint.
    names: BTreeMap<String, String>,
    used: RefCell<BTreeSet<String>>,
    /// Bytes that layers hold beyond what they have read.
    beyond: Cell<u64>,
    device: Device,
}

enum Source {
    Safetensors { bytes: Bytes, metadata: Metadata, data_start: usize },
    Pickle(Pickle),
}

enum Bytes {
    Embedded(&'static [u8]),
    Mapped(Mmap),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Embedded(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl Drop for Bytes {
    /// Layers hold what they have read in a form of their own.
    fn drop(&mut self) {
        if let Self::Embedded(bytes) = self {
            pages::give_back(bytes);
        }
    }
}

impl Weights {
    /// Opens a checkpoint by its extension: `.pth` and `.pt` are pickles, anything else is safetensors.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        if path.extension().is_some_and(|extension| extension == "pth" || extension == "pt") {
            return Ok(Self::new(path.display().to_string(), Source::Pickle(Pickle::open(path)?), device));
        }
        let io = |source| NnError::Io { path: path.to_owned(), source };
        let file = File::open(path).map_err(io)?;
        #[expect(unsafe_code, reason = "mapping a file lets its pages be dropped as tensors are converted")]
        // SAFETY: the map is read-only. A checkpoint that another process truncates while it loads can end this process; the
        // loader runs in a worker whose death is handled, and data files are replaced by renaming.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        Self::safetensors(path.display().to_string(), Bytes::Mapped(map), device)
    }

    /// Safetensors inside the program; `origin` names them in errors.
    pub fn embedded(origin: &str, bytes: &'static [u8], device: &Device) -> Result<Self> {
        Self::safetensors(origin.to_owned(), Bytes::Embedded(bytes), device)
    }

    fn safetensors(origin: String, bytes: Bytes, device: &Device) -> Result<Self> {
        let (header, metadata) = SafeTensors::read_metadata(bytes.as_slice())
            .map_err(|error| cut_off::safetensors(bytes.as_slice()).unwrap_or_else(|| error.to_string()))
            .map_err(|message| NnError::Format { origin: origin.clone(), message })?;
        let data_start = size_of::<u64>() + header;
        Ok(Self::new(origin, Source::Safetensors { bytes, metadata, data_start }, device))
    }

    fn new(origin: String, source: Source, device: &Device) -> Self {
        let stored: Vec<String> = match &source {
            Source::Safetensors { metadata, .. } => metadata.tensors().into_keys().collect(),
            Source::Pickle(pickle) => pickle.names().map(str::to_owned).collect(),
        };
        let names = stored.into_iter().map(|name| (canonical(&name), name)).collect();
        Self {
            origin,
            source,
            names,
            used: RefCell::default(),
            beyond: Cell::default(),
            device: device.clone(),
        }
    }

    /// The whole checkpoint, without a prefix.
    pub fn root(&self) -> Scope<'_> {
        Scope { weights: self, prefix: String::new(), products: Precision::F32 }
    }

    /// Names of all tensors, as the model knows them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }

    /// Size of all tensors read so far, as f32, and of what layers hold of them beyond that.
    pub fn bytes_held(&self) -> u64 {
        let elements = |name: &String| self.shape(name).unwrap_or_default().iter().product::<usize>();
        let read =
            self.used.borrow().iter().map(|name| (elements(name) * size_of::<f32>()) as u64).sum::<u64>();
        read + self.beyond.get()
    }

    /// Fails if a tensor was neither read nor is `known` to be of no use.
    pub fn expect_all_used(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        let used = self.used.borrow();
        let names: Vec<String> =
            self.names().filter(|name| !used.contains(*name) && !known(name)).map(str::to_owned).collect();
        if names.is_empty() { Ok(()) } else { Err(NnError::Unused { origin: self.origin.clone(), names }) }
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        let stored = self.names.get(name)?;
        match &self.source {
            Source::Safetensors { metadata, .. } => metadata.info(stored).map(|info| info.shape.clone()),
            Source::Pickle(pickle) => pickle.shape(stored).map(<[usize]>::to_vec),
        }
    }

    fn values(&self, name: &str) -> Result<Vec<f32>> {
        let stored = self.names.get(name).ok_or_else(|| self.missing(name))?;
        self.used.borrow_mut().insert(name.to_owned());
        let unsupported = |kind: &dyn Display| {
            self.format(format!("tensor `{name}` holds {kind}, not floating-point numbers"))
        };
        match &self.source {
            Source::Safetensors { bytes, metadata, data_start } => {
                let info = metadata.info(stored).ok_or_else(|| self.missing(name))?;
                let (start, end) = info.data_offsets;
                let data = bytes.as_slice().get(data_start + start..data_start + end);
                let data = data.ok_or_else(|| self.format(format!("tensor `{name}` is cut short")))?;
                match info.dtype {
                    Dtype::F32 => Ok(convert(data, f32::from_le_bytes)),
                    Dtype::F16 => Ok(convert(data, |bytes| f16::from_le_bytes(bytes).to_f32())),
                    Dtype::BF16 => Ok(convert(data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
                    other => Err(unsupported(&format!("{other:?}"))),
                }
            }
            Source::Pickle(pickle) => {
                let (dtype, data) = pickle.bytes(stored)?;
                match dtype {
                    DType::F32 => Ok(convert(&data, f32::from_le_bytes)),
                    DType::F64 => Ok(convert(&data, |bytes| f64::from_le_bytes(bytes) as f32)),
                    DType::F16 => Ok(convert(&data, |bytes| f16::from_le_bytes(bytes).to_f32())),
                    DType::BF16 => Ok(convert(&data, |bytes| bf16::from_le_bytes(bytes).to_f32())),
                    other => Err(unsupported(&format!("{other:?}"))),
                }
            }
        }
    }

    /// Like `values`, of a tensor of whole numbers.
    fn integers(&self, name: &str) -> Result<Vec<i64>> {
        let stored = self.names.get(name).ok_or_else(|| self.missing(name))?;
        self.used.borrow_mut().insert(name.to_owned());
        let unsupported =
            |kind: &dyn Display| self.format(format!("tensor `{name}` holds {kind}, not whole numbers"));
        match &self.source {
            Source::Safetensors { bytes, metadata, data_start } => {
                let info = metadata.info(stored).ok_or_else(|| self.missing(name))?;
                let (start, end) = info.data_offsets;
                let data = bytes.as_slice().get(data_start + start..data_start + end);
                let data = data.ok_or_else(|| self.format(format!("tensor `{name}` is cut short")))?;
                match info.dtype {
                    Dtype::I64 => Ok(convert(data, i64::from_le_bytes)),
                    Dtype::I32 => Ok(convert(data, |bytes| i32::from_le_bytes(bytes).into())),
                    other => Err(unsupported(&format!("{other:?}"))),
                }
            }
            Source::Pickle(pickle) => match pickle.bytes(stored)? {
                (DType::I64, data) => Ok(convert(&data, i64::from_le_bytes)),
                (other, _) => Err(unsupported(&format!("{other:?}"))),
            },
        }
    }

    fn missing(&self, name: &str) -> NnError {
        NnError::Missing { origin: self.origin.clone(), name: name.to_owned() }
    }

    fn format(&self, message: String) -> NnError {
        NnError::Format { origin: self.origin.clone(), message }
    }
}

fn convert<T, const N: usize>(data: &[u8], one: impl Fn([u8; N]) -> T) -> Vec<T> {
    data.as_chunks().0.iter().map(|bytes| one(*bytes)).collect()
}

/// The model's name for a checkpoint's tensor: without the `module.` that torch's DataParallel puts first in each state
/// dictionary, and with the older of torch's two spellings of weight norm.
fn canonical(stored: &str) -> String {
    stored
        .split('.')
        .enumerate()
        .filter(|(depth, part)| *depth > 1 || *part != "module")
        .map(|(_, part)| part)
        .collect::<Vec<_>>()
        .join(".")
        .replace("parametrizations.weight.original0", "weight_g")
        .replace("parametrizations.weight.original1", "weight_v")
}

/// The tensors whose names begin with a prefix.
#[derive(Clone)]
pub struct Scope<'a> {
    weights: &'a Weights,
    prefix: String,
    products: Precision,
}

impl Scope<'_> {
    /// Says that a layer holds so many bytes more than it has read.
    pub(crate) fn count_beyond(&self, bytes: usize) {
        self.weights.beyond.set(self.weights.beyond.get() + bytes as u64);
    }

    /// The part of this scope under `name`.
    #[must_use]
    pub fn at(&self, name: impl Display) -> Self {
        let prefix =
            if self.prefix.is_empty() { name.to_string() } else { format!("{}.{name}", self.prefix) };
        Self { weights: self.weights, prefix, products: self.products }
    }

    /// The same tensors; convolutions and linear layers loaded from here multiply in `products`. What goes into
    /// such a layer and what comes out of it is f32 all the same.
    #[must_use]
    pub fn with_products(&self, products: Precision) -> Self {
        Self { products, ..self.clone() }
    }

    /// Number format of the products of layers loaded from here.
    pub fn products(&self) -> Precision {
        self.products
    }

    /// What layers loaded from here hold and multiply on other devices than the CPU.
    pub fn dtype(&self) -> DType {
        dtype(self.products)
    }

    fn full(&self, name: &str) -> String {
        if name.is_empty() { self.prefix.clone() } else { self.at(name).prefix }
    }

    /// The shape of a tensor, if it is there.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.weights.shape(&self.full(name))
    }

    /// A tensor of exactly this shape, in row-major order.
    pub fn values(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.weights.values(&self.shaped(name, shape)?)
    }

    /// `<name>.<leaf>` of each name, or `leaf` itself of an empty one, one after the other; all are of this shape.
    pub(crate) fn stacked(&self, names: &[&str], leaf: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let mut all = Vec::with_capacity(names.len() * shape.iter().product::<usize>());
        for name in names {
            let name = if name.is_empty() { leaf.to_owned() } else { format!("{name}.{leaf}") };
            all.append(&mut self.values(&name, shape)?);
        }
        Ok(all)
    }

    /// A tensor of whole numbers of exactly this shape, in row-major order.
    pub fn integers(&self, name: &str, shape: &[usize]) -> Result<Vec<i64>> {
        self.weights.integers(&self.shaped(name, shape)?)
    }

    /// The full name of a tensor that has this shape.
    fn shaped(&self, name: &str, shape: &[usize]) -> Result<String> {
        let name = self.full(name);
        let found = self.weights.shape(&name).ok_or_else(|| self.weights.missing(&name))?;
        if found != shape {
            let (origin, expected) = (self.weights.origin.clone(), shape.to_vec());
            return Err(NnError::Shape { origin, name, expected, found });
        }
        Ok(name)
    }

    /// A tensor of exactly this shape, as f32 on the model's device.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.upload(self.values(name, shape)?, shape)
    }

    /// `weight`, or g v / |v| of the weight-norm pair `weight_g`, `weight_v`, where the norm is taken over all dimensions but
    /// the first: the outputs of a convolution, the inputs of a transposed one.
    pub fn folded_weight(&self, shape: &[usize]) -> Result<Tensor> {
        if self.shape("weight_g").is_none() && self.shape("weight_v").is_none() {
            return self.tensor("weight", shape);
        }
        let mut gain_shape = vec![1; shape.len()];
        gain_shape[0] = shape[0];
        let gains = self.values("weight_g", &gain_shape)?;
        let mut values = self.values("weight_v", shape)?;
        let row = shape[1..].iter().product::<usize>().max(1);
        for (gain, row) in gains.iter().zip(values.chunks_exact_mut(row)) {
            let norm = row.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>().sqrt();
            let scale = f64::from(*gain) / norm;
            for v in row {
                *v = (f64::from(*v) * scale) as f32;
            }
        }
        self.upload(values, shape)
    }

    /// Fails if a tensor of this scope was neither read nor is `known`, by its name in the scope, to be of no use.
    pub fn expect_all_used(&self, known: impl Fn(&str) -> bool) -> Result<()> {
        let start = if self.prefix.is_empty() { String::new() } else { format!("{}.", self.prefix) };
        self.weights.expect_all_used(|name| name.strip_prefix(&start).is_none_or(&known))
    }

    pub(crate) fn upload(&self, values: Vec<f32>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_vec(values, shape, &self.weights.device)?)
    }
}

/// What other devices than the CPU hold and multiply.
pub(crate) fn dtype(products: Precision) -> DType {
    match products {
        Precision::F32 => DType::F32,
        Precision::F16 | Precision::Int8 => DType::F16,
    }
}
