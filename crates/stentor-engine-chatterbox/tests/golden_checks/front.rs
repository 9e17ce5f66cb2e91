//! The front ends of a recording against the reference: features, resamplers, loudness, three networks and what a voice
//! is made of. The recordings are made up; their Python twin is `reference/front_signal.py`.

mod recorder;

use candle_core::Device;
use recorder::Recorder;
use std::{f64::consts::TAU, path::Path};
use stentor_engine_chatterbox::{
    features,
    model::{s3_tokenizer::quantize, t3::Family},
    voice::Encoders,
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{Depth, Golden, Part, noise, write};

const TOLERANCE: f64 = 1e-4;

/// Sliding tones and noise, half a second of it 20 dB lower, between digital silence and next to nothing.
pub(crate) fn signal(name: &str, rate: u32, seconds: f64) -> Vec<f32> {
    let count = (seconds * f64::from(rate)) as usize;
    let sample = |(i, noise): (usize, f32)| {
        let (t, noise) = (i as f64 / f64::from(rate), f64::from(noise));
        let mut body = 0.22 * (TAU * (140.0 * t + 30.0 * t * t)).sin() * (0.6 + 0.4 * (TAU * 2.3 * t).sin());
        body += 0.1 * (TAU * (1000.0 * t + 200.0 * (TAU * 0.8 * t).sin())).sin();
        body += 0.06 * (TAU * 3100.0 * t).sin() * (0.5 + 0.5 * (TAU * 3.1 * t).sin());
        body += 0.03 * noise;
        let value = match t {
            _ if t > seconds - 0.45 => 6e-6 * noise,
            _ if t < 0.35 => 0.0,
            _ if (1.0..1.5).contains(&t) => body * 0.1,
            _ => body,
        };
        value as f32
    };
    noise(name, count).into_iter().enumerate().map(sample).collect()
}

/// Holds every layer whose name begins with `prefix` to the golden; there are `count` of them.
fn check_all(recorder: Recorder, golden: &Golden, prefix: &str, count: usize) {
    let mut layers = recorder.into_layers();
    layers.retain(|name, _| name.starts_with(prefix));
    assert_eq!(layers.len(), count, "{:?}", layers.keys());
    for (name, layer) in &layers {
        recorder::check(golden, name, layer, TOLERANCE);
    }
}

/// The encoders of a checkpoint written here, through the loader that reads published ones.
pub(crate) fn encoders(depth: Depth) -> Encoders {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str, part: Part| {
        let path = folder.path().join(name);
        write(&path, part, depth).expect("written");
        Weights::open(&path, &Device::Cpu).expect("opened")
    };
    let parts = [("ve.safetensors", Part::VoiceEncoder), ("s3gen.safetensors", Part::S3Gen)];
    let [voice_encoder, s3gen] = parts.map(|(name, part)| open(name, part));
    Encoders::load(&voice_encoder, &s3gen, &Unwatched).expect("loaded")
}

/// The goldens beside the tests, or those of a folder.
pub(crate) fn golden(folder: Option<&Path>) -> Golden {
    Golden::open(
        &folder.map_or_else(|| "front".to_owned(), |folder| folder.join("front").display().to_string()),
    )
}

/// Holds values that the golden has whole to it, relative to its largest.
#[track_caller]
fn same(golden: &Golden, name: &str, ours: &[f32]) {
    let theirs = golden.floats(name);
    assert_eq!(ours.len(), theirs.len(), "length of {name}");
    let largest = theirs.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    let off = ours.iter().zip(&theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
    assert!(f64::from(off) <= TOLERANCE, "{name} is off by {off:.1e}");
}

/// soxr's own filter differs a little with the ratio, above what speech has: measured on noise up to the Nyquist frequency.
pub(crate) fn resamplers(golden: &Golden) {
    let check = |name: &str, ours: Vec<f32>, tolerance| golden.check(name, &[ours.len()], &ours, tolerance);
    for (rate, tolerance) in [(44_100, 2e-4), (48_000, 1e-4), (22_050, 3e-4), (16_000, 1e-5)] {
        let clip = signal(&format!("rate{rate}"), rate, 2.5);
        let ours = features::resample_hq(&clip, rate, 24_000, &Unwatched).expect("resampled");
        check(&format!("hq.{rate}"), ours, tolerance);
    }
    let clip = signal("clip", 24_000, 3.0);
    check("hq.16k", features::resample_hq(&clip, 24_000, 16_000, &Unwatched).expect("resampled"), 1e-5);
    let part = features::resample_hq(&clip[20_000..42_052], 24_000, 16_000, &Unwatched).expect("resampled");
    assert_eq!(part.len() as u32, golden.integers("hq.length")[0]);
    same(golden, "hq.end", &part[part.len() - 8..]);
    check(
        "sinc.16k",
        features::resample_sinc_hann(&clip, 24_000, 16_000, &Unwatched).expect("resampled"),
        1e-5,
    );
}

pub(crate) fn loudness(golden: &Golden) {
    let mut clip = signal("clip", 24_000, 3.0);
    let quiet: Vec<f32> = clip.iter().map(|x| x * 0.01).collect();
    for (samples, expected) in [&clip, &quiet].into_iter().zip(golden.floats("loudness")) {
        let ours = features::integrated_loudness(samples, 24_000).expect("audible");
        assert!((ours - f64::from(expected)).abs() < 1e-4, "{ours} LUFS for {expected}");
    }
    features::normalize_loudness(&mut clip, 24_000);
    golden.check("normalized", &[clip.len()], &clip, 1e-5);
    assert_eq!(features::integrated_loudness(&vec![0.0; 24_000], 24_000), None);
}

pub(crate) fn voice_encoder(golden: &Golden, encoders: &Encoders) {
    let clip = signal("voice", 16_000, 3.0);
    let trimmed = features::trim(&clip, 20.0);
    let start = trimmed.as_ptr_range().start as usize - clip.as_ptr_range().start as usize;
    let span = [start / size_of::<f32>(), start / size_of::<f32>() + trimmed.len()].map(|x| x as u32);
    assert_eq!(span[..], golden.integers("trim")[..]);
    let recorder = Recorder::default();
    same(golden, "ve.embedding", &encoders.voice_encoder.embed(&clip, &recorder).expect("embedded"));
    check_all(recorder, golden, "ve.", 2);
    // Last windows that are covered by more and less than four fifths.
    for tenths in [22, 24, 27, 29, 32] {
        let clip = signal("voice", 16_000, f64::from(tenths) / 10.0);
        let ours = encoders.voice_encoder.embed(&clip, &Unwatched).expect("embedded");
        same(golden, &format!("ve.embedding.{tenths}"), &ours);
    }
}

pub(crate) fn tokenizer(golden: &Golden, encoders: &Encoders, depth: Depth) {
    let clip = signal("voice", 16_000, 3.0);
    let recorder = Recorder::default();
    let tokens = encoders.tokenizer.tokenize(&clip, usize::MAX, &recorder).expect("tokenized");
    check_all(recorder, golden, "s3.", if depth == Depth::Full { 9 } else { 4 });
    assert_eq!(tokens, golden.integers("s3.tokens"));
    let first = encoders.tokenizer.tokenize(&clip, 20, &Unwatched).expect("tokenized");
    assert_eq!(first, golden.integers("s3.first_tokens"));
    let sign = |i: usize| if i.is_multiple_of(2) { 1.0 } else { -1.0 };
    let level = |(i, x): (usize, f32)| ((0.55 + 0.002 * f64::from(x)) * sign(i)) as f32;
    let levels: Vec<f32> = noise("levels", 512).into_iter().enumerate().map(level).collect();
    assert_eq!(quantize(&levels), golden.integers("quantized"));
}

pub(crate) fn speaker(golden: &Golden, encoders: &Encoders) {
    let recorder = Recorder::default();
    let ours = encoders.campplus.embed(&signal("voice", 16_000, 3.0), &recorder).expect("embedded");
    check_all(recorder, golden, "camp.", 10);
    same(golden, "camp.xvector", &ours);
}

pub(crate) fn conditionals(golden: &Golden, encoders: &Encoders) {
    let mel = features::s3gen_mel(&signal("clip", 24_000, 3.0)).expect("a mel");
    golden.check("flow.mel", &[mel.frames(), mel.bins], &mel.values, TOLERANCE);
    let odd = encoders.s3gen_prompt(&signal("odd", 24_000, 2.5), &Unwatched).expect("a prompt");
    assert_eq!(odd.tokens, golden.integers("odd.tokens"));
    golden.check("odd.mel", &[2 * odd.tokens.len(), 80], &odd.mel, TOLERANCE);
    same(golden, "odd.xvector", &odd.xvector);
    let clip = signal("long", 24_000, 16.5);
    for (name, family) in [("english", Family::English), ("turbo", Family::Turbo)] {
        let ours = encoders.encode(&clip, family, &Unwatched).expect("encoded");
        let tensor = |part: &str| format!("{name}.{part}");
        assert_eq!(ours.t3.tokens, golden.integers(&tensor("t3_tokens")), "T3's tokens for {name}");
        assert_eq!(ours.s3gen.tokens, golden.integers(&tensor("s3gen_tokens")), "S3Gen's tokens for {name}");
        same(golden, &tensor("speaker"), &ours.t3.speaker);
        same(golden, &tensor("xvector"), &ours.s3gen.xvector);
        golden.check(&tensor("mel"), &[2 * ours.s3gen.tokens.len(), 80], &ours.s3gen.mel, TOLERANCE);
    }
}
