//! The store as its users see it: what stays, what goes, and what a bad disk does.

use proptest::prelude::*;
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use stentor_jobs::{ChunkStore, ChunkStoreConfig, StoreStats};
use stentor_types::{ChunkKey, SpokenChunk, WordTiming};
use tempfile::TempDir;

/// Bytes of the file of [`chunk`] with 1,000 samples.
const FILE: u64 = 68 + 32 + 4 * 1_000 + 32;

fn key(n: u32) -> ChunkKey {
    let mut key = [0; 32];
    key[..4].copy_from_slice(&n.to_be_bytes());
    ChunkKey(key)
}

/// A chunk that tells by its samples which one it is.
fn chunk(n: u32, samples: usize) -> Arc<SpokenChunk> {
    let words = vec![WordTiming { text: 0..5, samples: 0..samples as u64 }];
    Arc::new(SpokenChunk { samples: vec![n as f32 / 7.0; samples], words, units: u64::from(n) })
}

fn config(dir: &Path, memory_bytes: u64, disk_bytes: u64) -> ChunkStoreConfig {
    ChunkStoreConfig { memory_bytes, disk_bytes, directory: dir.join("chunks") }
}

fn open(dir: &TempDir, memory_bytes: u64, disk_bytes: u64) -> ChunkStore {
    ChunkStore::open(config(dir.path(), memory_bytes, disk_bytes)).expect("a store")
}

async fn opened(dir: &TempDir, memory_bytes: u64, disk_bytes: u64) -> ChunkStore {
    let store = open(dir, memory_bytes, disk_bytes);
    store.flush().await;
    store
}

fn files(dir: &TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.path().join("chunks")).expect("the folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}

fn bytes_on_disk(dir: &TempDir) -> u64 {
    files(dir).iter().map(|file| fs::metadata(file).expect("a file").len()).sum()
}

/// Puts chunks of 1,000 samples one by one, so that their files' times differ.
async fn fill(store: &ChunkStore, keys: impl IntoIterator<Item = u32>) {
    for n in keys {
        store.put(key(n), chunk(n, 1_000));
        store.flush().await;
    }
}

#[tokio::test]
async fn memory_alone_keeps_what_was_used_last() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, 10_000, 0);
    fill(&store, [1, 2]).await;
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
    fill(&store, [3]).await;
    assert_eq!(store.get(&key(2)).await, None);
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
    store.put(key(4), chunk(4, 10_000));
    assert_eq!(store.get(&key(4)).await, None, "larger than the bound");
    let stats = store.stats();
    assert_eq!((stats.hits_memory, stats.hits_disk, stats.misses, stats.stored), (2, 0, 2, 4));
    assert_eq!((stats.memory_chunks, stats.disk_chunks, stats.unwritten), (2, 0, 0));
    assert!(stats.memory_bytes > 8_000 && stats.memory_bytes <= 10_000, "{stats:?}");
    assert!(!dir.path().join("chunks").exists(), "no files are kept");
}

#[tokio::test]
async fn chunks_survive_a_restart_bit_by_bit() {
    let dir = tempfile::tempdir().unwrap();
    let strange = SpokenChunk {
        samples: vec![0.0, -0.0, 1e-42, f32::MAX, 0.1],
        words: vec![WordTiming { text: 3..9, samples: 1..5 }, WordTiming { text: 10..11, samples: 5..5 }],
        units: u64::MAX,
    };
    let store = open(&dir, 1 << 20, 1 << 20);
    store.put(key(1), Arc::new(strange.clone()));
    store.put(key(2), Arc::default());
    store.flush().await;
    drop(store);
    let store = open(&dir, 1 << 20, 1 << 20);
    let back = store.get(&key(1)).await.expect("kept");
    assert_eq!(*back, strange);
    assert!(back.samples[1].is_sign_negative());
    assert_eq!(store.get(&key(2)).await, Some(Arc::default()));
    assert_eq!(store.get(&key(1)).await, Some(Arc::new(strange)), "now from memory");
    let StoreStats { hits_memory, hits_disk, misses, corrupt, .. } = store.stats();
    assert_eq!((hits_memory, hits_disk, misses, corrupt), (1, 2, 0, 0));
}

#[tokio::test]
async fn what_was_put_before_the_store_was_dropped_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, 0, 1 << 20);
    (0..20).for_each(|n| store.put(key(n), chunk(n, 1_000)));
    drop(store);
    let written = async {
        while files(&dir).iter().filter(|file| file.extension().is_some_and(|e| e == "chunk")).count() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), written).await.expect("all files");
}

#[tokio::test]
async fn what_waits_for_the_writer_is_found_though_memory_has_no_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, 0, 1 << 20);
    store.put(key(1), chunk(1, 1_000));
    // Nothing was awaited since: the writer has not run yet.
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
    store.flush().await;
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
    let stats = store.stats();
    assert_eq!((stats.hits_memory, stats.hits_disk, stats.memory_bytes), (1, 1, 0));
}

#[tokio::test]
async fn a_byte_flipped_anywhere_or_a_cut_is_a_miss_and_the_file_goes() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 0, 1 << 20).await;
    store.put(key(1), chunk(1, 3));
    store.flush().await;
    let file = files(&dir)[0].clone();
    let sound = fs::read(&file).unwrap();
    let mut broken = 0;
    for at in 0..sound.len() {
        let mut flipped = sound.clone();
        flipped[at] ^= 0x20;
        for content in [&flipped[..], &sound[..at]] {
            fs::write(&file, content).unwrap();
            assert_eq!(store.get(&key(1)).await, None, "byte {at}");
            assert!(!file.exists(), "byte {at}");
            broken += 1;
            assert_eq!((store.stats().corrupt, store.stats().disk_bytes), (broken, 0));
        }
    }
    store.put(key(1), chunk(1, 3));
    store.flush().await;
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 3)), "a new one takes its place");
}

#[tokio::test]
async fn another_keys_file_is_not_taken_for_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 0, 1 << 20).await;
    fill(&store, [1, 2]).await;
    let [one, two] = <[PathBuf; 2]>::try_from(files(&dir)).unwrap();
    fs::copy(two, one).unwrap();
    assert_eq!(store.get(&key(1)).await, None);
    assert_eq!((store.stats().corrupt, files(&dir).len()), (1, 1));
}

#[tokio::test]
async fn on_opening_left_overs_go_strangers_stay_and_the_oldest_make_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 0, 10 * FILE).await;
    fill(&store, 0..6).await;
    drop(store);
    let folder = dir.path().join("chunks");
    for (age, file) in files(&dir).iter().enumerate() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000 - age as u64);
        File::options().write(true).open(file).unwrap().set_modified(time).unwrap();
    }
    fs::write(folder.join(format!("{}.77.part", key(9))), b"half").unwrap();
    fs::write(folder.join("README.txt"), b"mine").unwrap();
    let store = opened(&dir, 0, 3 * FILE).await;
    assert_eq!((store.stats().disk_bytes, store.stats().disk_chunks), (3 * FILE, 3));
    let names: Vec<_> =
        files(&dir).iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    let kept: Vec<_> = (0..3).map(|n| format!("{}.chunk", key(n))).chain(["README.txt".to_owned()]).collect();
    assert_eq!(names, kept, "the three latest");
    // The order goes on: a read file stays, the oldest unread one goes.
    assert_eq!(store.get(&key(2)).await, Some(chunk(2, 1_000)));
    fill(&store, [7]).await;
    assert_eq!(store.get(&key(1)).await, None);
    assert_eq!(store.get(&key(2)).await, Some(chunk(2, 1_000)));
}

#[tokio::test]
async fn eviction_removes_files_and_what_is_too_large_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 0, 3 * FILE + 100).await;
    fill(&store, 0..10).await;
    store.put(key(99), chunk(99, 5_000));
    store.flush().await;
    assert_eq!(files(&dir).len(), 3);
    for n in 0..10 {
        assert_eq!(store.get(&key(n)).await.is_some(), n >= 7, "{n}");
    }
    assert_eq!((store.stats().unwritten, store.stats().disk_bytes), (0, 3 * FILE));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_an_error_and_memory_goes_on_without_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("chunks"), b"a file").unwrap();
    let unusable = config(dir.path(), 1 << 20, 1 << 20);
    let Err(error) = ChunkStore::open(unusable.clone()) else { panic!("opened") };
    assert!(error.to_string().contains("chunks"), "{error}");
    let store = ChunkStore::open(ChunkStoreConfig { disk_bytes: 0, ..unusable }).expect("memory only");
    store.put(key(1), chunk(1, 1_000));
    store.flush().await;
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
}

#[tokio::test]
async fn a_disk_that_fails_later_costs_only_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("chunks");
    let store = opened(&dir, 1 << 20, 1 << 20).await;
    fill(&store, [1]).await;
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, b"in the way").unwrap();
    fill(&store, [2, 3]).await;
    for n in 1..=3 {
        assert_eq!(store.get(&key(n)).await, Some(chunk(n, 1_000)), "{n}");
    }
    assert_eq!((store.stats().unwritten, store.stats().corrupt), (2, 0));
    fs::remove_file(&folder).unwrap();
    fill(&store, [4]).await;
    assert_eq!(files(&dir).len(), 1, "the folder is made anew");
    assert_eq!(store.stats().unwritten, 2);
}

#[tokio::test]
async fn a_file_that_another_process_removed_is_a_miss_and_can_be_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 0, 1 << 20).await;
    fill(&store, [1]).await;
    fs::remove_file(&files(&dir)[0]).unwrap();
    assert_eq!(store.get(&key(1)).await, None);
    assert_eq!((store.stats().misses, store.stats().corrupt, store.stats().disk_chunks), (1, 0, 0));
    fill(&store, [1]).await;
    assert_eq!(store.get(&key(1)).await, Some(chunk(1, 1_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_stores_on_one_folder_neither_corrupt_nor_starve_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let stores = [opened(&dir, 0, 5 * FILE).await, opened(&dir, 0, 5 * FILE).await];
    let users = stores.clone().map(|store| {
        tokio::spawn(async move {
            for round in 0..200_u32 {
                let n = round * 7 % 10;
                match store.get(&key(n)).await {
                    Some(found) => assert_eq!(found, chunk(n, 1_000), "{n}"),
                    None => store.put(key(n), chunk(n, 1_000)),
                }
                if round % 3 == 0 {
                    store.flush().await;
                }
            }
            store.flush().await;
        })
    });
    for user in users {
        user.await.expect("every chunk that was found was the right one");
    }
    let corrupt: u64 = stores.iter().map(|store| store.stats().corrupt).sum();
    assert_eq!(corrupt, 0);
    assert!(files(&dir).iter().all(|file| file.extension().unwrap() == "chunk"), "{:?}", files(&dir));
    // What one has written the other finds without being opened anew.
    fill(&stores[0], [50]).await;
    assert_eq!(stores[1].get(&key(50)).await, Some(chunk(50, 1_000)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gets_and_puts_at_once_find_only_what_was_put() {
    let dir = tempfile::tempdir().unwrap();
    let store = opened(&dir, 20_000, 8 * FILE).await;
    let users = (0..8_u32).map(|user| {
        let store = store.clone();
        tokio::spawn(async move {
            for round in 0..100 {
                let n = (user * 31 + round * 17) % 16;
                match store.get(&key(n)).await {
                    Some(found) => assert_eq!(found, chunk(n, 1_000)),
                    None => store.put(key(n), chunk(n, 1_000)),
                }
                let stats = store.stats();
                assert!(stats.memory_bytes <= 20_000 && stats.disk_bytes <= 8 * FILE, "{stats:?}");
            }
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.expect("every chunk that was found was the right one");
    }
    store.flush().await;
    let stats = store.stats();
    assert_eq!(stats.hits_memory + stats.hits_disk + stats.misses, 800, "{stats:?}");
    assert_eq!(stats.corrupt, 0);
    assert_eq!(bytes_on_disk(&dir), stats.disk_bytes);
}

#[tokio::test]
async fn a_writer_that_is_behind_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir, 0, 1 << 30);
    // The writer can't run before this test awaits something.
    for n in 0..300 {
        store.put(key(n), chunk(n, 10));
    }
    let behind = store.stats().unwritten;
    assert!(behind > 0 && behind < 100, "{behind}");
    store.flush().await;
    assert_eq!(files(&dir).len() as u64, 300 - behind);
    let large = chunk(1_000, 5 << 20);
    (1_000..1_008).for_each(|n| store.put(key(n), large.clone()));
    assert_eq!(store.stats().unwritten - behind, 5, "64 MiB wait at most: three of 20 MiB");
    store.flush().await;
}

#[derive(Debug, Clone)]
enum Step {
    Put(u32, usize),
    Get(u32),
    Flush,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..20_u32).prop_map(|n| Step::Put(n, n as usize * 150)),
        6 => (0..20_u32).prop_map(Step::Get),
        2 => Just(Step::Flush),
        1 => Just(Step::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bounds_hold_whatever_is_done(
        steps in prop::collection::vec(step(), 1..60),
        memory in 0..20_000_u64,
        disk in 1..20_000_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let mut store = opened(&dir, memory, disk).await;
            for step in steps {
                match step {
                    Step::Put(n, samples) => store.put(key(n), chunk(n, samples)),
                    Step::Get(n) => if let Some(found) = store.get(&key(n)).await {
                        assert_eq!(found, chunk(n, n as usize * 150));
                    },
                    Step::Flush => {
                        // Only when the writer is idle does the folder hold still to be measured.
                        store.flush().await;
                        assert_eq!(bytes_on_disk(&dir), store.stats().disk_bytes);
                    }
                    Step::Reopen => {
                        store.flush().await;
                        store = opened(&dir, memory, disk).await;
                    }
                }
                let stats = store.stats();
                assert!(stats.memory_bytes <= memory && stats.disk_bytes <= disk, "{stats:?}");
            }
            store.flush().await;
            let stats = store.stats();
            assert_eq!((stats.disk_bytes, stats.corrupt, stats.unwritten), (bytes_on_disk(&dir), 0, 0));
        });
    }
}
