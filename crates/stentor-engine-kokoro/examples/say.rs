//! Speaks a text to a wav file and says what that cost.
//!
//! usage: say TEXT OUT.wav [voice=rms] [threads=1] [speed=1] [repeat=1] [phonemes] [model=DIRECTORY]
//!            [instructions=avx2|portable] [device=cpu] [precision=f32]
//!
//! With `phonemes` the text is phonemes already. A model's directory holds `config.json`, one `.pth` or `.safetensors` and
//! `voices/NAME.pt`.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{collections::BTreeMap, error::Error, path::Path, time::Instant};
use stentor_engine::{CancelFlag, ChunkOutput, ChunkRequest, StepCounter, WholeChunk};
use stentor_engine_kokoro::{KokoroEngine, load_engine};
use stentor_g2p::Phonemes;
use stentor_nn::cpu::{Instructions, compute_with_at_most};
use stentor_types::{
    ChunkId, DeviceSpec, Language, LoadSpec, ModelId, Precision, Speed, SpokenText, VoiceSource,
};

type Anything<T> = Result<T, Box<dyn Error>>;

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [text, out, options @ ..] = arguments.as_slice() else {
        return Err("usage: say TEXT OUT.wav [name=value ...]".into());
    };
    let options: BTreeMap<&str, &str> =
        options.iter().map(|option| option.split_once('=').unwrap_or((option, ""))).collect();
    let option = |name: &str, default| options.get(name).copied().unwrap_or(default);
    let folder = options.get("model").map(Path::new);

    match option("instructions", "") {
        "avx2" => compute_with_at_most(Instructions::Avx2),
        "portable" => compute_with_at_most(Instructions::Portable),
        _ => {}
    }
    let start = Instant::now();
    let mut engine = load_engine(&LoadSpec {
        threads: option("threads", "1").parse()?,
        device: option("device", "cpu").parse()?,
        precision: if option("precision", "f32") == "f16" { Precision::F16 } else { Precision::F32 },
        ..spec(folder)?
    })?;
    println!("loaded in {:.2} s: {:?}", start.elapsed().as_secs_f32(), engine.descriptor().memory);
    let voice = option("voice", if folder.is_some() { "hash" } else { "rms" }).to_owned();
    let voice = match folder {
        Some(folder) => VoiceSource::Embedding { path: folder.join(format!("voices/{voice}.pt")) },
        None => VoiceSource::Preset { name: voice },
    };
    let request = ChunkRequest {
        id: ChunkId(1),
        text: SpokenText { text: text.clone(), spans: Vec::new() },
        language: Language::en_us(),
        voice: engine.load_voice(&voice)?,
        speed: Speed::try_from(option("speed", "1").parse::<f32>()?)?,
        seed: 1,
        params: BTreeMap::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    };
    let mut output = ChunkOutput::default();
    for _ in 0..option("repeat", "1").parse()? {
        let (start, cpu) = (Instant::now(), cpu_seconds()?);
        output = speak(&mut engine, &request, options.contains_key("phonemes"))?;
        let rate = engine.descriptor().sample_rate;
        let audio = rate.seconds(output.samples.len() as u64);
        let (wall, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
        let (wall_share, cpu_share) = (wall / audio, cpu / audio);
        println!(
            "{audio:.2} s of audio: {wall:.3} s, {cpu:.2} CPU s; per second {wall_share:.3}, {cpu_share:.3} CPU"
        );
    }
    println!("{} units of work", request.progress.get());
    for word in &output.words {
        println!("{:>7} {:>7} {}", word.samples.start, word.samples.end, &text[word.text.clone()]);
    }
    write(out, &output.samples, engine.descriptor().sample_rate.0)
}

fn spec(folder: Option<&Path>) -> Anything<LoadSpec> {
    let mut files = BTreeMap::new();
    for entry in folder.map(std::fs::read_dir).transpose()?.into_iter().flatten() {
        let path = entry?.path();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => files.insert("config".to_owned(), path),
            Some("pth" | "safetensors") => files.insert("weights".to_owned(), path),
            _ => None,
        };
    }
    let model = ModelId::from("say");
    Ok(LoadSpec {
        model,
        engine: "kokoro".to_owned(),
        files,
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 1,
        cache_dir: None,
    })
}

fn speak(engine: &mut KokoroEngine, request: &ChunkRequest, phonemes: bool) -> Anything<ChunkOutput> {
    if phonemes {
        let phonemes = Phonemes { text: request.text.text.clone(), ..Phonemes::default() };
        return Ok(engine.speak(&phonemes, request)?);
    }
    Ok(engine.synthesize(request)??)
}

/// User and system time of this process.
fn cpu_seconds() -> Anything<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS_PER_SECOND)
}

fn write(path: &str, samples: &[f32], sample_rate: u32) -> Anything<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec)?;
    for sample in samples {
        writer.write_sample((sample.clamp(-1.0, 1.0) * 32767.0) as i16)?;
    }
    Ok(writer.finalize()?)
}
