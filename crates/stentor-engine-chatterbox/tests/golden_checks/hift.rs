//! The vocoder, layer by layer. What the golden holds and how the weights are edited is in `reference/dump_hift.py`.

use super::recorder::{self, Recorder};
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;
use stentor_engine_chatterbox::model::{
    MELS, SAMPLES_PER_FRAME,
    hift::{Excitation, Hift, Onset, Voiced},
};
use stentor_nn::{Unwatched, Weights};
use stentor_testkit::chatterbox::{self, Depth, Golden, Part};
use stentor_types::Precision;

const HARMONICS: usize = 9;

/// The vocoder with the dump's edits; `louder` is added to the bias of the logarithmic magnitudes.
pub(crate) fn load(louder: f32, device: &Device) -> Hift {
    load_in(louder, (device, Precision::F32))
}

/// The same in any precision.
fn load_in(louder: f32, (device, precision): (&Device, Precision)) -> Hift {
    let mut tensors = Part::S3Gen.tensors(Depth::Full);
    tensors.retain(|(name, _)| name.starts_with("mel2wav."));
    let edit = |name: &str, values: &mut [f32]| match name {
        "mel2wav.f0_predictor.classifier.weight" => values.iter_mut().for_each(|x| *x *= 300.0),
        "mel2wav.f0_predictor.classifier.bias" => values.fill(130.0),
        "mel2wav.resblocks.0.activations1.0.alpha" => values[0] = 0.0,
        "mel2wav.conv_post.bias" => values[..9].iter_mut().for_each(|x| *x += louder),
        _ => {}
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s3gen.safetensors");
    chatterbox::write_tensors(&path, &tensors, edit).unwrap();
    let weights = Weights::open(&path, device).unwrap();
    let hift = Hift::load(&weights.root(), device, precision).unwrap();
    weights.expect_all_used(|_| false).unwrap();
    hift
}

struct Rendered {
    pitch: Vec<f32>,
    samples: Vec<f32>,
    layers: BTreeMap<String, Tensor>,
}

/// The first frames of the golden's mel, as many as there is pitch.
///
/// What follows the pitch starts from the golden's: ours differs by roundings, which the phases sum up.
fn render(hift: &Hift, golden: &Golden, given: &[f32], device: &Device) -> Rendered {
    let frames = given.len();
    let mel = golden.floats("mel");
    let mel = Tensor::from_vec(mel, golden.shape("mel"), device).unwrap().narrow(1, 0, frames).unwrap();
    assert_eq!(mel.dims(), [MELS, frames]);
    let noise = chatterbox::noise("hift.noise", HARMONICS * frames * SAMPLES_PER_FRAME);
    let phases = golden.floats("phases");
    let recorder = Recorder::default();
    let pitch = hift.pitch(&mel, &recorder).unwrap();
    let excitation = Excitation::Recorded { phases: &phases, noise: &noise };
    let samples = hift.render((&mel, given), (excitation, Onset::default()), &recorder).unwrap();
    Rendered { pitch, samples, layers: recorder.into_layers() }
}

/// Pitch, source, every stage and the samples before and after they are limited.
pub(crate) fn check_layers(tolerance: f64, device: &Device) {
    check_layers_in(tolerance, (device, Precision::F32));
}

/// The same in any precision.
pub(crate) fn check_layers_in(tolerance: f64, (device, precision): (&Device, Precision)) {
    let golden = Golden::open("hift");
    let hift = load_in(0.0, (device, precision));
    let Rendered { pitch, samples, layers } = render(&hift, &golden, &golden.floats("f0"), device);
    for (frame, (ours, theirs)) in pitch.iter().zip(golden.floats("f0")).enumerate() {
        assert!(
            (ours - theirs).abs() <= 10.0 * tolerance as f32 * theirs.max(1.0),
            "f0 {frame}: {ours}, {theirs}"
        );
    }
    assert!(pitch.iter().any(|&x| x < 10.0) && pitch.iter().any(|&x| x > 100.0), "{pitch:?}");
    let indexed = |part: &str, count: usize| (0..count).map(|i| format!("{part}.{i}")).collect::<Vec<_>>();
    let mut names = vec!["source".to_owned(), "conv_pre".to_owned()];
    for (part, count) in [("source_downs", 3), ("source_resblocks", 3), ("ups", 3), ("resblocks", 9)] {
        names.extend(indexed(part, count));
    }
    names.extend(["conv_post".to_owned(), "wav".to_owned()]);
    for name in &names {
        let layer = layers.get(name).unwrap_or_else(|| panic!("no layer {name}"));
        recorder::check(&golden, name, layer, tolerance);
    }
    let peak = samples.iter().fold(0.0, |peak: f32, x| peak.max(x.abs()));
    assert!(peak.to_bits() == 0.99f32.to_bits(), "the loudest sample is {peak}");
    golden.check("wav.clamped", &[samples.len()], &samples, tolerance);
}

/// The magnitudes of the spectrum end at a hundred.
pub(crate) fn check_loud(tolerance: f64, device: &Device) {
    let golden = Golden::open("hift");
    let rendered = render(&load(4.0, device), &golden, &golden.floats("loud.f0"), device);
    let wav = rendered.layers["wav"].to_vec1::<f32>().unwrap();
    golden.check("loud.wav", &[wav.len()], &wav, tolerance);
}

/// The reference as published sums its phase in f32.
pub(crate) fn check_unpatched(device: &Device) {
    let golden = Golden::open("hift");
    let rendered = render(&load(0.0, device), &golden, &golden.floats("f0"), device);
    let (ours, theirs) = (rendered.layers["wav"].to_vec1::<f32>().unwrap(), golden.floats("unpatched"));
    assert_eq!(ours.len(), theirs.len());
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let correlation = dot(&ours, &theirs) / (dot(&ours, &ours) * dot(&theirs, &theirs)).sqrt();
    assert!(correlation > 0.999, "{correlation}");
}

/// Stretches of several lengths at once, one of which is not a number, against each alone. Samples of the others are within
/// `tolerance`, pitches within a thousand times as many hertz; with zero they are the same to the bit.
pub(crate) fn check_together(tolerance: f32, device: &Device) {
    let (golden, hift) = (Golden::open("hift"), load(0.0, device));
    let mel = Tensor::from_vec(golden.floats("mel"), golden.shape("mel"), device).unwrap();
    let frames = mel.dims2().unwrap().1;
    let cut = |start, len| mel.narrow(1, start, len).unwrap().contiguous().unwrap();
    let spoilt = (cut(0, 11) * f64::NAN).unwrap();
    let mels = [cut(0, frames), spoilt, cut(3, 17), cut(5, 1)];
    let same = |name: &str, alone: &[f32], together: &[f32], tolerance: f32| {
        assert_eq!(alone.len(), together.len());
        let off = alone.iter().zip(together).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let differs = |(a, b): (&f32, &f32)| a.to_bits() != b.to_bits();
        let first = alone.iter().zip(together).position(differs).filter(|_| tolerance == 0.0);
        assert!(together.iter().all(|x| x.is_finite()), "{name} of {} is no number", alone.len());
        assert!(first.is_none(), "{name} of {} differs from {first:?} on", alone.len());
        assert!(off <= tolerance, "{name} of {} is off by {off}", alone.len());
    };
    let heard = |index: &usize| *index != 1;
    let pitches = hift.pitch_of_all(&mels, &Unwatched).unwrap();
    for index in (0..mels.len()).filter(heard) {
        let alone = hift.pitch(&mels[index], &Unwatched).unwrap();
        same("pitch", &alone, &pitches[index], 1e3 * tolerance);
    }
    let onset = |index: usize| Onset { sample: 480 * index as u64, cycles: 0.1 * index as f64 };
    let stretch = |(index, mel): (usize, &Tensor)| Voiced {
        mel: mel.clone(),
        pitch: &pitches[index],
        excitation: Excitation::Seeded(index as u64),
        onset: onset(index),
    };
    let stretches: Vec<Voiced<'_>> = mels.iter().enumerate().map(stretch).collect();
    let together = hift.render_all(&stretches, &Unwatched).unwrap();
    assert!(together[1].iter().any(|x| x.is_nan()), "it went through");
    for index in (0..mels.len()).filter(heard) {
        let excitation = (Excitation::Seeded(index as u64), onset(index));
        let alone = hift.render((&mels[index], &pitches[index]), excitation, &Unwatched).unwrap();
        same("sound", &alone, &together[index], tolerance);
        assert!(alone.iter().any(|x| x.abs() > 0.01), "there is something to hear");
    }
}
