//! Throughput of one model under many streams, through the engine contract: as many chunks at once as the engine has slots for, the
//! others waiting, as a server has it. Before that, what first pieces cost that are rendered at once. Prints tables for
//! benches/NOTES.md.
//! usage: streams FOLDER [--device cuda:0] [--f16] [--threads 2] [--times 2] [--streams 1,4,16]
//!        [--characters 12]
//!
//! FOLDER is a model as `hash_checkpoint` writes it. Such a model says noise of about the right length.

use std::{
    collections::BTreeMap,
    error::Error,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};
use stentor_engine::{
    CancelFlag, ChunkRequest, ChunkStats, Engine, EngineError, StepCounter, StepSink, VoiceSlot, Waiter,
};
use stentor_engine_chatterbox::{
    Model,
    render::{Due, Rendering, S3Gen, render_all},
    voice::S3GenPrompt,
};
use stentor_nn::{Unwatched, Weights, open_device};
use stentor_types::{
    ChunkId, DeviceSpec, LoadSpec, ModelId, Params, Precision, Speed, SpokenText, VoiceSource, WordTiming,
};

type Fallible<T> = Result<T, Box<dyn Error>>;

const SAMPLE_RATE: f64 = 24_000.0;
const TEXTS: [&str; 3] = [
    "A sailor was late again for the long winter, and on that day it rained.",
    "Nobody walked down to the harbour.",
    "Her brother dreamt of a letter from home, and the old nurse never spoke about that broken bell.",
];

#[derive(Clone)]
struct Asked {
    folder: PathBuf,
    device: DeviceSpec,
    precision: Precision,
    threads: usize,
    times: usize,
    streams: Vec<usize>,
    /// Of each text, at most.
    characters: usize,
}

fn asked() -> Fallible<Asked> {
    let mut args = std::env::args().skip(1);
    let mut asked = Asked {
        folder: args.next().ok_or("usage: streams FOLDER …")?.into(),
        device: DeviceSpec::Cpu,
        precision: Precision::F32,
        threads: 0,
        times: 2,
        streams: vec![1, 4, 16],
        characters: usize::MAX,
    };
    while let Some(flag) = args.next() {
        if flag == "--f16" {
            asked.precision = Precision::F16;
            continue;
        }
        let value = args.next().ok_or_else(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--device" => asked.device = value.parse()?,
            "--threads" => asked.threads = value.parse()?,
            "--times" => asked.times = value.parse()?,
            "--characters" => asked.characters = value.parse()?,
            "--streams" => asked.streams = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            _ => return Err(format!("{flag}?").into()),
        }
    }
    Ok(asked)
}

/// The files of a folder by role.
fn files(folder: &Path) -> Fallible<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if let Some(role) = path.file_stem().and_then(|stem| stem.to_str()) {
            files.insert(role.to_owned(), path.clone());
        }
    }
    Ok(files)
}

/// When chunks were first heard, and how much of them.
struct Heard {
    began: Instant,
    /// Of each chunk that was heard, in seconds since the beginning.
    first: BTreeMap<ChunkId, f64>,
    samples: usize,
    ended: Vec<ChunkId>,
    failed: Option<EngineError>,
}

impl StepSink for Heard {
    fn pcm(&mut self, chunk: ChunkId, samples: &[f32]) {
        self.first.entry(chunk).or_insert_with(|| self.began.elapsed().as_secs_f64());
        self.samples += samples.len();
    }
    fn timing(&mut self, _: ChunkId, _: &[WordTiming]) {}
    fn finished(&mut self, chunk: ChunkId, result: Result<ChunkStats, EngineError>) {
        self.failed = result.err().or_else(|| self.failed.take());
        self.ended.push(chunk);
    }
}

/// Seconds that first pieces take that are rendered at once, by their number.
fn pieces(asked: &Asked, files: &BTreeMap<String, PathBuf>) -> Fallible<String> {
    const VOICE: usize = 250;
    const WINDOW: usize = 25;
    let opened = open_device(asked.device, asked.precision);
    let precision = if opened.device.is_cpu() { Precision::F32 } else { opened.precision };
    let weights = Weights::open(files.get("s3gen").ok_or("no s3gen")?, &opened.device)?;
    let model = S3Gen::load(&weights, &opened.device, precision)?;
    let prompt = S3GenPrompt {
        tokens: (0..VOICE as u32).map(|id| id * 17 % 6561).collect(),
        mel: vec![-4.0; 2 * VOICE * 80],
        xvector: vec![0.1; 192],
    };
    let (prompt, cancel) = (Arc::new(prompt), CancelFlag::default());
    let steps = if model.is_meanflow() { 2 } else { 10 };
    let tokens: Vec<u32> = (0..WINDOW as u32 + 3).map(|id| id * 31 % 6561).collect();
    let mut rows = vec!["| first pieces at once | s | s each |".to_owned(), "|---|---|---|".to_owned()];
    for count in [1, 1, 2, 4, 8] {
        let render = |seed: u64| Rendering::new(Arc::clone(&prompt), seed, steps, WINDOW);
        let mut renderings: Vec<Rendering> = (0..count).map(render).collect();
        let due = |rendering| Due { rendering, tokens: &tokens, last: false, cancel: &cancel };
        let began = Instant::now();
        for samples in
            render_all(&model, &mut renderings.iter_mut().map(due).collect::<Vec<_>>(), &Unwatched)?
        {
            samples?;
        }
        let seconds = began.elapsed().as_secs_f64();
        rows.push(format!("| {count} | {seconds:.3} | {:.3} |", seconds / count as f64));
    }
    Ok(rows.join("\n"))
}

/// Each of `streams` asks for a chunk, and for the next as soon as it has that one, `times` in all.
fn run(engine: &mut dyn Engine, voice: VoiceSlot, (streams, asked): (usize, &Asked)) -> Fallible<String> {
    let cpu = cpu_seconds()?;
    let mut heard =
        Heard { began: Instant::now(), first: BTreeMap::new(), samples: 0, ended: Vec::new(), failed: None };
    let mut waiting: Vec<(u64, f64)> = (0..streams as u64).rev().map(|id| (id, 0.0)).collect();
    let mut since: BTreeMap<ChunkId, f64> = BTreeMap::new();
    let (mut active, all) = (0, (streams * asked.times) as u64);
    let mut done = 0;
    while done < all {
        while active < engine.descriptor().max_slots
            && let Some((id, at)) = waiting.pop()
        {
            since.insert(ChunkId(id), at);
            engine.admit(request(engine, (id, voice), asked.characters))?;
            active += 1;
        }
        engine.step(&mut heard).map_err(|lost| format!("{lost:?}"))?;
        for chunk in std::mem::take(&mut heard.ended) {
            (active, done) = (active - 1, done + 1);
            let next = chunk.0 + streams as u64;
            if next < all {
                waiting.insert(0, (next, heard.began.elapsed().as_secs_f64()));
            }
        }
        if let Some(error) = heard.failed.take() {
            return Err(error.into());
        }
    }
    let (wall, audio) = (heard.began.elapsed().as_secs_f64(), heard.samples as f64 / SAMPLE_RATE);
    let mut first: Vec<f64> = heard.first.iter().map(|(chunk, at)| (at - since[chunk]) * 1e3).collect();
    first.sort_by(f64::total_cmp);
    let share = |share: f64| first[((first.len() - 1) as f64 * share).round() as usize];
    let (speed, each) = (audio / wall, (cpu_seconds()? - cpu) / audio);
    let (half, most, peak) = (share(0.5), share(0.95), peak_mib()?);
    Ok(format!("| {streams} | {audio:.0} | {speed:.2} | {each:.3} | {half:.0}, {most:.0} | {peak:.0} |"))
}

fn request(engine: &dyn Engine, (id, voice): (u64, VoiceSlot), characters: usize) -> ChunkRequest {
    let text = TEXTS[id as usize % TEXTS.len()].chars().take(characters).collect();
    ChunkRequest {
        id: ChunkId(id),
        text: SpokenText { text, spans: Vec::new() },
        language: engine.descriptor().languages[0].clone(),
        voice,
        speed: Speed::NORMAL,
        seed: id,
        params: Params::new(),
        cancel: CancelFlag::default(),
        progress: StepCounter::default(),
    }
}

/// A line of the process's status, in KiB.
fn peak_mib() -> Fallible<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// User and system time of all threads.
fn cpu_seconds() -> Fallible<f64> {
    const TICKS: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    Ok((fields[11].parse::<f64>()? + fields[12].parse::<f64>()?) / TICKS)
}

fn main() -> Fallible<()> {
    let asked = asked()?;
    let files = files(&asked.folder)?;
    let mut out = std::io::stdout();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(asked.threads).build()?;
    // A card is spoken to from one thread.
    let on_cpu = asked.device == DeviceSpec::Cpu;
    let run_pieces = || pieces(&asked, &files).map_err(|error| error.to_string());
    writeln!(out, "{}\n", if on_cpu { pool.install(run_pieces) } else { run_pieces() }?)?;
    let spec = LoadSpec {
        model: ModelId::from("m"),
        engine: "chatterbox".to_owned(),
        files,
        device: asked.device,
        precision: asked.precision,
        threads: asked.threads,
        cache_dir: None,
    };
    let model = Model::load(&spec)?;
    let mut engine = model.engine();
    let descriptor = engine.descriptor();
    writeln!(out, "{} {:?}, {} slots\n", descriptor.device, descriptor.precision, descriptor.max_slots)?;
    writeln!(
        out,
        "| streams | audio s | audio s per s | CPU s per audio s | first audio p50, p95 ms | peak MiB |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|")?;
    let name = descriptor.presets.first().ok_or("the model has no voice")?.clone();
    let voice = engine.load_voice(&VoiceSource::Preset { name }, &Waiter::default())?;
    run(&mut *engine, voice, (1, &Asked { times: 1, ..asked.clone() }))?;
    for &streams in &asked.streams {
        writeln!(out, "{}", run(&mut *engine, voice, (streams, &asked))?)?;
        out.flush()?;
    }
    Ok(())
}
