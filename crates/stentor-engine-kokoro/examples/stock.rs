//! Speaks phonemes out of candle's own ops and with the allocator as it is, like a plain port of the network, for
//! `benches/compare/run.py`.
//!
//! usage: stock DIRECTORY THREADS. A line of JSON on stdin asks, `{"phonemes", "speed"}` or `{"gemm": times}`, and a line on
//! stdout answers, `{"samples"}` or `{"flop"}`, after a first one that says it is ready.
#![expect(clippy::print_stdout, reason = "a program that talks through pipes")]

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use std::{collections::BTreeMap, error::Error, path::Path};
use stentor_engine::{CancelFlag, ChunkRequest, StepCounter, WholeChunk};
use stentor_engine_kokoro::{KokoroEngine, load_engine};
use stentor_g2p::Phonemes;
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Precision, Speed, SpokenText, VoiceSource,
};

type Anything<T> = Result<T, Box<dyn Error>>;

/// Rows and columns of the product that measures the machine.
const GEMM: usize = 1024;

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, threads] = arguments.as_slice() else {
        return Err("usage: stock DIRECTORY THREADS".into());
    };
    let (folder, threads) = (Path::new(folder), threads.parse()?);
    stentor_nn::cpu::compute_without_kernels();
    let mut engine = load_engine(&spec(folder, threads))?;
    let voice = engine.load_voice(&VoiceSource::Embedding { path: folder.join("voices/hash.pt") })?;
    let request = ChunkRequest {
        id: ChunkId(1),
        text: SpokenText { text: String::new(), spans: Vec::new() },
        language: Language::en_us(),
        voice,
        speed: Speed::try_from(1.0)?,
        seed: 1,
        params: BTreeMap::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    println!("{}", json!({ "ready": true }));
    for line in std::io::stdin().lines() {
        let asked: Value = serde_json::from_str(&line?)?;
        let answer = match asked["gemm"].as_u64() {
            Some(times) => pool.install(|| gemm(times).map_err(|error| error.to_string()))?,
            None => speak(&engine, request.clone(), &asked)?,
        };
        println!("{answer}");
    }
    Ok(())
}

fn spec(folder: &Path, threads: usize) -> LoadSpec {
    let files = [("config", "config.json"), ("weights", "kokoro-v1_0.pth")];
    LoadSpec {
        model: ModelId::from("stock"),
        engine: "kokoro".to_owned(),
        files: files.map(|(role, name)| (role.to_owned(), folder.join(name))).into(),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads,
        cache_dir: None,
    }
}

fn speak(engine: &KokoroEngine, mut request: ChunkRequest, asked: &Value) -> Anything<Value> {
    let phonemes = asked["phonemes"].as_str().ok_or("no phonemes")?.to_owned();
    request.speed = Speed::try_from(asked["speed"].as_f64().unwrap_or(1.0) as f32)?;
    let output = engine.speak(&Phonemes { text: phonemes, ..Phonemes::default() }, &request)?;
    Ok(json!({ "samples": output.samples.len() }))
}

/// Multiplies two square matrices `times` times.
fn gemm(times: u64) -> Anything<Value> {
    let square = || Tensor::rand(-1f32, 1f32, (GEMM, GEMM), &Device::Cpu);
    let (left, right) = (square()?, square()?);
    for _ in 0..times {
        left.matmul(&right)?;
    }
    Ok(json!({ "flop": 2.0 * (GEMM as f64).powi(3) * times as f64 }))
}
