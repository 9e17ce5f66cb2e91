//! Finished chunks, so that the same request sent again resumes where it stood.
//!
//! Memory answers first, then files. Only one background task writes; it is never waited for, and a disk that fails
//! costs nothing but the files.

use crate::{
    chunk_file,
    folder::{FileRead, Folder},
    lru::Lru,
};
use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use stentor_types::{ChunkKey, SpokenChunk, WordTiming};
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
};

/// Chunks that may wait for the writer; more are not written.
const QUEUE: usize = 256;
/// Bytes of chunks that may wait for the writer; a chunk that waits alone may be larger.
const QUEUE_BYTES: u64 = 64 << 20;
/// What a chunk costs beside its samples and words: keys, counts, places in maps. A guess on the high side.
const OVERHEAD: u64 = 256;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChunkStoreConfig {
    /// Bound of what is kept in memory, in bytes. What waits to be written comes on top, at most 64 MiB.
    pub memory_bytes: u64,
    /// Bound of what is kept in files; zero keeps none.
    pub disk_bytes: u64,
    /// Where the files go; made when missing.
    pub directory: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// Totals since the start, and gauges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    pub hits_memory: u64,
    pub hits_disk: u64,
    pub misses: u64,
    /// Chunks put in.
    pub stored: u64,
    /// Files whose content did not match their hash; removed, counted as misses.
    pub corrupt: u64,
    /// Files that could not be written: disk full, or the writer was behind.
    pub unwritten: u64,
    pub memory_bytes: u64,
    pub memory_chunks: u64,
    pub disk_bytes: u64,
    pub disk_chunks: u64,
}

/// Cheap to clone; all clones are one store. Once the last one is gone, what was put in is still written.
#[derive(Clone)]
pub struct ChunkStore {
    shared: Arc<Shared>,
    /// `None`: no files are kept.
    writer: Option<mpsc::Sender<Job>>,
}

struct Shared {
    state: Mutex<State>,
    folder: Option<Folder>,
}

struct State {
    memory: Lru<Arc<SpokenChunk>>,
    /// The files that are known of; another process may have removed some, or have added others.
    files: Lru<()>,
    /// Put in and not yet written, so that they are found though memory has no room for them.
    pending: HashMap<ChunkKey, Arc<SpokenChunk>>,
    pending_bytes: u64,
    /// Only the totals; gauges are filled in when asked for.
    totals: StoreStats,
    /// The last attempt to write failed, and that was logged.
    failing: bool,
}

enum Job {
    Write(ChunkKey, Arc<SpokenChunk>),
    Flush(oneshot::Sender<()>),
}

impl ChunkStore {
    /// Opens the store. Must be called within a tokio runtime, unless `disk_bytes` is zero.
    ///
    /// An error means that the directory can't be made, read or written. With `disk_bytes` zero the directory is not
    /// looked at and there is no error: that is how to go on without it. What fails later is only counted.
    pub fn open(config: ChunkStoreConfig) -> Result<Self, StoreError> {
        let ChunkStoreConfig { memory_bytes, disk_bytes, directory } = config;
        let folder = match disk_bytes {
            0 => None,
            _ => Some(
                Folder::open(directory.clone())
                    .map_err(|source| StoreError::Io { path: directory, source })?,
            ),
        };
        let state = State {
            memory: Lru::new(memory_bytes),
            files: Lru::new(disk_bytes),
            pending: HashMap::new(),
            pending_bytes: 0,
            totals: StoreStats::default(),
            failing: false,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), folder });
        let writer = shared.folder.is_some().then(|| {
            let (sender, jobs) = mpsc::channel(QUEUE);
            tokio::spawn(write_all(shared.clone(), jobs));
            sender
        });
        Ok(Self { shared, writer })
    }

    /// The chunk, from memory or from its file; `None` when it is not kept or its file is not sound.
    pub async fn get(&self, key: &ChunkKey) -> Option<Arc<SpokenChunk>> {
        if let Some(chunk) = self.shared.state().recall(key) {
            return Some(chunk);
        }
        if self.shared.folder.is_none() {
            self.shared.state().totals.misses += 1;
            return None;
        }
        let (shared, key) = (self.shared.clone(), *key);
        // No answer when the runtime is being shut down.
        spawn_blocking(move || shared.read(&key)).await.ok().flatten()
    }

    /// Keeps a chunk. Never blocks and never fails: what can't be written to disk is kept in memory only.
    ///
    /// A chunk whose key is kept already changes nothing: the first one stays.
    pub fn put(&self, key: ChunkKey, chunk: Arc<SpokenChunk>) {
        let mut state = self.shared.state();
        state.totals.stored += 1;
        state.enqueue(self.writer.as_ref(), key, &chunk);
        let gone = if state.memory.touch(&key).is_some() {
            Vec::new()
        } else {
            let bytes = memory_cost(&chunk);
            state.memory.insert(key, chunk, bytes)
        };
        drop(state);
        // Freeing megabytes takes a while; nobody should wait for the lock meanwhile.
        drop(gone);
    }

    pub fn stats(&self) -> StoreStats {
        let state = self.shared.state();
        StoreStats {
            memory_bytes: state.memory.bytes(),
            memory_chunks: state.memory.len(),
            disk_bytes: state.files.bytes(),
            disk_chunks: state.files.len(),
            ..state.totals
        }
    }

    /// Waits until everything that was put so far is on disk.
    pub async fn flush(&self) {
        let Some(writer) = &self.writer else { return };
        let (done, written) = oneshot::channel();
        if writer.send(Job::Flush(done)).await.is_ok() {
            // An error means that the writer has ended: there is nothing left to wait for.
            drop(written.await);
        }
    }
}

/// What a chunk occupies in memory, in bytes.
fn memory_cost(chunk: &SpokenChunk) -> u64 {
    let words = chunk.words.capacity() * size_of::<WordTiming>();
    (chunk.samples.capacity() * size_of::<f32>() + words) as u64 + OVERHEAD
}

/// The writer: learns what the folder holds, then writes one chunk after the other until the store is dropped.
async fn write_all(shared: Arc<Shared>, mut jobs: mpsc::Receiver<Job>) {
    let scanned = shared.clone();
    drop(spawn_blocking(move || scanned.scan()).await);
    while let Some(job) = jobs.recv().await {
        match job {
            Job::Write(key, chunk) => {
                let shared = shared.clone();
                drop(spawn_blocking(move || shared.write(key, &chunk)).await);
            }
            Job::Flush(done) => drop(done.send(())),
        }
    }
}

impl State {
    /// From memory, or from what waits to be written.
    fn recall(&mut self, key: &ChunkKey) -> Option<Arc<SpokenChunk>> {
        let chunk = self.memory.touch(key).or_else(|| self.pending.get(key)).cloned()?;
        // What is used often stays on disk too, though it is never read from there.
        self.files.touch(key);
        self.totals.hits_memory += 1;
        Some(chunk)
    }

    /// Gives a chunk to the writer, unless it has it, its file is there, or it is behind.
    fn enqueue(&mut self, writer: Option<&mpsc::Sender<Job>>, key: ChunkKey, chunk: &Arc<SpokenChunk>) {
        let Some(writer) = writer else { return };
        let kept = self.files.touch(&key).is_some() || self.pending.contains_key(&key);
        if kept || chunk_file::encoded_len(chunk) > self.files.limit() {
            return;
        }
        let bytes = memory_cost(chunk);
        let fits = self.pending.is_empty() || self.pending_bytes + bytes <= QUEUE_BYTES;
        if fits && writer.try_send(Job::Write(key, chunk.clone())).is_ok() {
            self.pending_bytes += bytes;
            self.pending.insert(key, chunk.clone());
        } else {
            self.totals.unwritten += 1;
        }
    }

    fn written(&mut self, key: ChunkKey, chunk: &SpokenChunk) {
        if self.pending.remove(&key).is_some() {
            self.pending_bytes -= memory_cost(chunk);
        }
    }
}

/// What touches files; each of these blocks.
impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_files(&self, keys: Vec<(ChunkKey, ())>) {
        for (key, ()) in keys {
            self.folder.iter().for_each(|folder| folder.remove(&key));
            self.forget_if_gone(&key);
        }
    }

    /// Files are removed after they were forgotten, and read or written before they are known of. Whoever does the second half of
    /// either looks once more, so that no file is counted that somebody else removed in between.
    fn forget_if_gone(&self, key: &ChunkKey) {
        let mut state = self.state();
        if self.folder.as_ref().is_none_or(|folder| !folder.has(key)) {
            state.files.remove(key);
        }
    }

    /// Takes over what an earlier run left, as far as the bound allows, the latest first.
    fn scan(&self) {
        let Some(folder) = &self.folder else { return };
        match folder.scan() {
            Ok(found) => {
                for file in found {
                    let mut state = self.state();
                    if !state.files.contains(&file.key) {
                        let gone = state.files.insert_oldest(file.key, (), file.bytes);
                        drop(state);
                        self.remove_files(gone);
                    }
                }
            }
            Err(error) => tracing::warn!("chunks in {} can't be listed: {error}", folder.path().display()),
        }
    }

    fn read(&self, key: &ChunkKey) -> Option<Arc<SpokenChunk>> {
        let folder = self.folder.as_ref()?;
        let (limit, known) = {
            let state = self.state();
            (state.files.limit(), state.files.contains(key))
        };
        // Also a file that is not known of: another process, such as a predecessor that still drains, wrote it.
        let read = folder.read(key, limit);
        let mut state = self.state();
        let (chunk, bytes) = match read {
            FileRead::Sound(chunk, bytes) => (Arc::new(chunk), bytes),
            FileRead::Missing | FileRead::Unsound => {
                state.files.remove(key);
                state.totals.corrupt += u64::from(matches!(read, FileRead::Unsound));
                state.totals.misses += 1;
                return None;
            }
        };
        state.totals.hits_disk += 1;
        let cost = memory_cost(&chunk);
        let forgotten = state.memory.insert(*key, chunk.clone(), cost);
        let gone = match state.files.touch(key) {
            // It was evicted while it was read.
            None if known => Vec::new(),
            None => state.files.insert(*key, (), bytes),
            Some(()) => Vec::new(),
        };
        drop(state);
        drop(forgotten);
        self.remove_files(gone);
        self.forget_if_gone(key);
        Some(chunk)
    }

    fn write(&self, key: ChunkKey, chunk: &SpokenChunk) {
        let Some(folder) = &self.folder else { return };
        let bytes = chunk_file::encoded_len(chunk);
        // Room is made first, so that the disk never holds more than the bound.
        let gone = self.state().files.make_room(bytes);
        self.remove_files(gone);
        let result = folder.write(&key, chunk);
        let mut state = self.state();
        state.written(key, chunk);
        let was_failing = std::mem::replace(&mut state.failing, result.is_err());
        match result {
            Ok(()) => {
                let gone = state.files.insert(key, (), bytes);
                drop(state);
                self.remove_files(gone);
                self.forget_if_gone(&key);
                if was_failing {
                    tracing::info!("chunks are written to {} again", folder.path().display());
                }
            }
            Err(error) => {
                state.totals.unwritten += 1;
                drop(state);
                if !was_failing {
                    let path = folder.path().display();
                    tracing::warn!(
                        "chunks can't be written to {path}, so they are kept in memory only: {error}"
                    );
                }
            }
        }
    }
}
