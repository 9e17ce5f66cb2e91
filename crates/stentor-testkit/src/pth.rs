//! Writes checkpoints and voices in the container of `torch.save`: a zip of stored entries, one with a pickle program that
//! describes the tensors, one for each tensor's bytes. Tensors go to disk one at a time, so a full-size model costs no memory.

use crate::hash_weights;
use std::{
    fs::File,
    io::{self, BufWriter, Seek, Write},
    path::Path,
};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// The name of a storage's entry and of its tensor in the pickle is its number in the file.
const ROOT: &str = "archive";

/// A tensor's full name (`part.key`) and its shape.
pub type TensorShape<'a> = (&'a str, Vec<usize>);

/// Writes the full-size Kokoro checkpoint (327 MB) with hash weights, in the published layout.
pub fn write_kokoro(path: &Path) -> io::Result<()> {
    write_checkpoint(path, &hash_weights::kokoro_tensors(), hash_weights::tensor)
}

/// Writes a checkpoint in the published layout: a dictionary of parts, keys in them with the prefix `module.`.
/// `tensors` is ordered by part; `values` gives the f32 elements of a tensor, row-major.
pub fn write_checkpoint(
    path: &Path,
    tensors: &[TensorShape<'_>],
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> io::Result<()> {
    let mut archive = Archive::create(path, &checkpoint_pickle(tensors))?;
    for (storage, (name, shape)) in tensors.iter().enumerate() {
        archive.storage(storage, &values(name, shape))?;
    }
    archive.finish()
}

/// Writes a checkpoint as `torch.save` writes what `state_dict()` gives: an ordered dictionary of full names, whose attributes
/// say the modules' versions.
pub fn write_state_dict(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    mut values: impl FnMut(&str, &[usize]) -> Vec<f32>,
) -> io::Result<()> {
    let mut pickle = Pickle::new();
    pickle.ordered_dict();
    pickle.open_items();
    for (storage, (name, shape)) in tensors.iter().enumerate() {
        pickle.text(name);
        pickle.tensor(storage, shape);
    }
    pickle.close_dict();
    pickle.open_dict();
    pickle.text("_metadata");
    pickle.ordered_dict();
    pickle.close_dict();
    pickle.attributes();
    let mut archive = Archive::create(path, &pickle.stop())?;
    for (storage, (name, shape)) in tensors.iter().enumerate() {
        archive.storage(storage, &values(name, shape))?;
    }
    archive.finish()
}

/// Writes the hash voice as voices are published: one bare tensor of shape (`rows`, 1, `width`).
pub fn write_voice(path: &Path, rows: usize, width: usize) -> io::Result<()> {
    let mut pickle = Pickle::new();
    pickle.tensor(0, &[rows, 1, width]);
    let mut archive = Archive::create(path, &pickle.stop())?;
    let values: Vec<f32> = (0..rows).flat_map(|row| hash_weights::voice_row(row, width)).collect();
    archive.storage(0, &values)?;
    archive.finish()
}

fn checkpoint_pickle(tensors: &[TensorShape<'_>]) -> Vec<u8> {
    let part_of = |name: &str| name.split_once('.').map_or("", |(part, _)| part).to_owned();
    let mut pickle = Pickle::new();
    pickle.open_dict();
    let mut storage = 0;
    for part in tensors.chunk_by(|a, b| part_of(a.0) == part_of(b.0)) {
        let name = part_of(part[0].0);
        pickle.text(&name);
        pickle.open_dict();
        for (full_name, shape) in part {
            pickle.text(&format!("module.{}", &full_name[name.len() + 1..]));
            pickle.tensor(storage, shape);
            storage += 1;
        }
        pickle.close_dict();
    }
    pickle.close_dict();
    pickle.stop()
}

/// A pickle program (protocol 2) under construction. Opcodes are those of CPython's `pickletools`.
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(b"\x80\x02".to_vec())
    }

    /// EMPTY_DICT, MARK: what follows are keys and values.
    fn open_dict(&mut self) {
        self.0.push(b'}');
        self.open_items();
    }

    /// GLOBAL, EMPTY_TUPLE, REDUCE.
    fn ordered_dict(&mut self) {
        self.0.extend(b"ccollections\nOrderedDict\n)R");
    }

    /// MARK: what follows are keys and values of the dictionary before.
    fn open_items(&mut self) {
        self.0.push(b'(');
    }

    /// BUILD: the dictionary before holds attributes of the object before it.
    fn attributes(&mut self) {
        self.0.push(b'b');
    }

    /// SETITEMS.
    fn close_dict(&mut self) {
        self.0.push(b'u');
    }

    /// BINUNICODE.
    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    /// BININT: 32 bits, signed.
    fn int(&mut self, value: usize) {
        self.0.push(b'J');
        self.0.extend(i32::try_from(value).expect("a test tensor has less than 2^31 elements").to_le_bytes());
    }

    /// MARK, numbers, TUPLE.
    fn ints(&mut self, values: &[usize]) {
        self.0.push(b'(');
        for &value in values {
            self.int(value);
        }
        self.0.push(b't');
    }

    /// The call that rebuilds a contiguous f32 tensor from the whole of storage `storage`.
    fn tensor(&mut self, storage: usize, shape: &[usize]) {
        let strides: Vec<usize> = (1..=shape.len()).map(|axis| shape[axis..].iter().product()).collect();
        self.0.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        self.text("storage");
        self.0.extend(b"ctorch\nFloatStorage\n");
        self.text(&storage.to_string());
        self.text("cpu");
        self.int(shape.iter().product());
        self.0.extend(b"tQ"); // TUPLE, BINPERSID: the storage
        self.int(0); // its offset
        self.ints(shape);
        self.ints(&strides);
        self.0.push(b'\x89'); // requires_grad: false
        self.ordered_dict(); // hooks: none
        self.0.extend(b"tR"); // TUPLE, REDUCE
    }

    fn stop(mut self) -> Vec<u8> {
        self.0.push(b'.');
        self.0
    }
}

/// The zip file, entry by entry.
struct Archive<W: Write + Seek>(ZipWriter<W>);

impl Archive<BufWriter<File>> {
    fn create(path: &Path, pickle: &[u8]) -> io::Result<Self> {
        let mut archive = Self(ZipWriter::new(BufWriter::new(File::create(path)?)));
        archive.entry("data.pkl", pickle)?;
        archive.entry("byteorder", b"little")?;
        Ok(archive)
    }

    fn finish(mut self) -> io::Result<()> {
        self.entry("version", b"3\n")?;
        self.0.finish()?.flush()
    }
}

impl<W: Write + Seek> Archive<W> {
    fn entry(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let stored =
            SimpleFileOptions::default().compression_method(CompressionMethod::Stored).with_alignment(64);
        self.0.start_file(format!("{ROOT}/{name}"), stored)?;
        self.0.write_all(bytes)
    }

    fn storage(&mut self, number: usize, values: &[f32]) -> io::Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.entry(&format!("data/{number}"), &bytes)
    }
}
