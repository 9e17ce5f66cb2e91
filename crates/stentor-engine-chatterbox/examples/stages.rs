//! What each stage of Turbo or Nano costs, apart: `stages FOLDER TOKENS TEXT_TOKENS THREADS [RUNS [PRECISION]]`. FOLDER is what
//! `hash_checkpoint` wrote; PRECISION (f32, f16, int8) is how T3's weights are stored. Prints one JSON object of `stage: [wall seconds, CPU seconds]`, medians of the runs.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement")]

use candle_core::Device;
use std::{collections::BTreeMap, path::Path, time::Instant};
use stentor_engine_chatterbox::{
    model::{
        FRAMES_PER_TOKEN, MELS, SILENCE, SPEECH_TOKENS, START_SPEECH, STOP_SPEECH,
        flow::Flow,
        hift::{Excitation, Hift, Onset},
        t3::T3,
    },
    sampler::{Rng, Sampling, sample},
    voice::{S3GenPrompt, T3Prompt},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{integers, noise};
use stentor_types::Precision;

/// As in a voice of fifteen seconds for T3, ten of which the flow continues.
const T3_PROMPT: usize = 375;
const FLOW_PROMPT: usize = 250;
const STEPS: usize = 2;
/// What a request streams by default: 25 tokens, then twice as many each; so many are looked ahead at.
const FIRST_WINDOW: usize = 25;
const LOOKAHEAD: usize = 3;
const CONTEXT: usize = 50;

type Costs = BTreeMap<&'static str, Vec<(f64, f64)>>;

/// Seconds that all threads of the process have been on a processor.
fn busy() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = |task: std::fs::DirEntry| -> u64 {
        let text = std::fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    threads.filter_map(Result::ok).map(nanoseconds).sum::<u64>() as f64 / 1e9
}

fn cost<T>(costs: &mut Costs, stage: &'static str, work: impl FnOnce() -> T) -> T {
    let before = (Instant::now(), busy());
    let result = work();
    costs.entry(stage).or_default().push((before.0.elapsed().as_secs_f64(), busy() - before.1));
    result
}

fn speak(t3: &T3, text: &[u32], tokens: usize, costs: &mut Costs) -> Vec<u32> {
    let speech = |name| integers(name, T3_PROMPT, SPEECH_TOKENS.into());
    let voice = T3Prompt { speaker: noise("stages.speaker", 256), tokens: speech("stages.t3") };
    let prefix = cost(costs, "t3 voice", || t3.prefix(&voice, 0.0, &Unwatched).unwrap());
    let mut sequence =
        cost(costs, "t3 text", || t3.start(&prefix, text, (false, tokens), &Unwatched).unwrap());
    let sampling = Sampling::of(t3.family());
    let (mut rng, mut history) = (Rng::new(1), vec![START_SPEECH]);
    let mut drawing = 0.0;
    cost(costs, "t3 decode", || {
        while history.len() <= tokens {
            let start = Instant::now();
            let mut logits = sequence.logits().to_vec();
            logits[STOP_SPEECH as usize] = -1e30;
            history
                .push(sample(&logits, None, &history, &sampling, &mut rng).unwrap().min(SPEECH_TOKENS - 1));
            drawing += start.elapsed().as_secs_f64();
            if history.len() <= tokens {
                let token = *history.last().unwrap();
                t3.decode(&mut [(&mut sequence, token)], &Unwatched).unwrap();
            }
        }
    });
    costs.entry("(of which sampling)").or_default().push((drawing, drawing));
    let mut speech = history.split_off(1);
    speech.extend([SILENCE; LOOKAHEAD]);
    speech
}

/// The flow over one window: `tokens`, the last of which are only looked ahead at unless it is the `last` window.
fn flow(flow: &Flow, tokens: (&[u32], bool)) -> candle_core::Tensor {
    let prompt = S3GenPrompt {
        tokens: integers("stages.gen", FLOW_PROMPT, SPEECH_TOKENS.into()),
        mel: noise("stages.mel", FRAMES_PER_TOKEN * FLOW_PROMPT * MELS).iter().map(|x| x - 5.0).collect(),
        xvector: noise("stages.xvector", 192),
    };
    let given = tokens.0.len() - if tokens.1 { 0 } else { LOOKAHEAD };
    let start = noise("stages.noise", FRAMES_PER_TOKEN * (FLOW_PROMPT + given) * MELS);
    flow.render(&prompt, tokens, (&start, STEPS), &Unwatched).unwrap()
}

/// As `Rendering` cuts a chunk whose tokens come one by one; the few frames that are held back are left out here.
fn windows(tokens: &[u32]) -> Vec<(&[u32], bool)> {
    let (mut all, mut heard, mut step) = (Vec::new(), 0_usize, FIRST_WINDOW);
    while heard + step + LOOKAHEAD <= tokens.len() - LOOKAHEAD {
        all.push((&tokens[heard.saturating_sub(CONTEXT)..heard + step + LOOKAHEAD], false));
        heard += step;
        step *= 2;
    }
    all.push((&tokens[heard.saturating_sub(CONTEXT)..], true));
    all
}

fn main() {
    stentor_nn::keep_big_blocks();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, numbers @ ..] = args.as_slice() else {
        panic!("stages FOLDER TOKENS TEXT_TOKENS THREADS [RUNS]")
    };
    let number =
        |index: usize, default: usize| numbers.get(index).map_or(default, |text| text.parse().unwrap());
    let (tokens, text, threads, runs) = (number(0, 140), number(1, 12), number(2, 2), number(3, 3));
    let open = |name: &str| Weights::open(&Path::new(folder).join(name), &Device::Cpu).unwrap();
    let precision = match numbers.get(4).map_or("f32", String::as_str) {
        "f32" => Precision::F32,
        "f16" => Precision::F16,
        "int8" => Precision::Int8,
        other => panic!("{other} is no precision"),
    };
    let t3 = T3::load(&open("t3.safetensors"), &Device::Cpu, precision).unwrap();
    let s3gen = open("s3gen.safetensors");
    let network = Flow::load(&s3gen.root(), &Device::Cpu, Precision::F32).unwrap();
    let hift = Hift::load(&s3gen.root(), &Device::Cpu, Precision::F32).unwrap();
    let text: Vec<u32> = (0..text as u32).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    let mut costs = Costs::new();
    for _ in 0..runs {
        pool.install(|| {
            let speech = speak(&t3, &text, tokens, &mut costs);
            let mel = cost(&mut costs, "flow whole", || flow(&network, (&speech, true)));
            cost(&mut costs, "flow windows", || {
                for window in windows(&speech) {
                    drop(flow(&network, window));
                }
            });
            cost(&mut costs, "vocoder", || {
                let pitch = hift.pitch(&mel, &Unwatched).unwrap();
                hift.render((&mel, &pitch), (Excitation::Seeded(1), Onset::default()), &Unwatched).unwrap()
            });
        });
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let line = |(stage, runs): (&&str, &Vec<(f64, f64)>)| {
        let of = |part: fn(&(f64, f64)) -> f64| median(runs.iter().map(part).collect());
        format!("{stage:?}: [{:.3}, {:.3}]", of(|run| run.0), of(|run| run.1))
    };
    println!("{{{}}}", costs.iter().map(line).collect::<Vec<_>>().join(", "));
}
