//! What a recording becomes before anything speaks, against the reference with the same weights; see `reference/README.md`.

#[path = "golden_checks/front.rs"]
mod checks;

use candle_core::Device;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};
use stentor_engine_chatterbox::{
    features,
    model::{t3::Family, voice_encoder::VoiceEncoder},
    voice::Encoders,
};
use stentor_nn::{NnError, Unwatched, Watch, Weights};
use stentor_testkit::chatterbox::{Depth, Golden, Part, write};

/// A checkpoint takes seconds to write.
static ENCODERS: LazyLock<Encoders> = LazyLock::new(|| checks::encoders(Depth::Reduced));
static GOLDEN: LazyLock<Golden> = LazyLock::new(|| checks::golden(None));

#[test]
fn resamplers_are_those_of_the_reference() {
    checks::resamplers(&GOLDEN);
}

#[test]
fn loudness_is_measured_as_in_training() {
    checks::loudness(&GOLDEN);
}

#[test]
fn voice_encoder_agrees() {
    checks::voice_encoder(&GOLDEN, &ENCODERS);
}

#[test]
fn speech_tokens_are_identical() {
    checks::tokenizer(&GOLDEN, &ENCODERS, Depth::Reduced);
}

#[test]
fn campplus_agrees_layer_by_layer() {
    checks::speaker(&GOLDEN, &ENCODERS);
}

#[test]
fn whole_conditionals_agree_for_each_family() {
    checks::conditionals(&GOLDEN, &ENCODERS);
}

#[test]
fn what_no_network_can_take_is_an_error() {
    let long = vec![0.01; 31 * 16_000];
    let error = ENCODERS.tokenizer.tokenize(&long, usize::MAX, &Unwatched).expect_err("beyond the table");
    assert!(error.to_string().contains("3000"), "{error}");
    // What is cut off does not count.
    assert_eq!(ENCODERS.tokenizer.tokenize(&long, 10, &Unwatched).expect("tokenized").len(), 10);
    let short = [0.01; 100];
    assert!(ENCODERS.encode(&short, Family::English, &Unwatched).is_err());
    assert!(ENCODERS.tokenizer.tokenize(&short, 10, &Unwatched).is_err());
    assert!(ENCODERS.campplus.embed(&short, &Unwatched).is_err());
    assert!(ENCODERS.voice_encoder.embed(&short, &Unwatched).is_err());
    assert!(features::resample_hq(&long, 1, 16_000, &Unwatched).is_err());
}

type Tensors<'a> = Vec<(String, TensorView<'a>)>;

/// Lets so many ticks pass.
struct Ticks(AtomicUsize);

impl Watch for Ticks {
    fn tick(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }
}

#[test]
fn encoding_can_be_stopped_at_any_point() {
    let clip = checks::signal("voice", 24_000, 3.0);
    for ticks in [0, 5, 300, 1500] {
        let stopped = ENCODERS.encode(&clip, Family::Turbo, &Ticks(AtomicUsize::new(ticks)));
        assert!(matches!(stopped, Err(NnError::Stopped)), "after {ticks} ticks");
    }
}

#[test]
fn the_reading_of_the_networks_can_be_stopped_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str, part: Part| {
        let path = folder.path().join(name);
        write(&path, part, Depth::Reduced).expect("written");
        Weights::open(&path, &Device::Cpu).expect("opened")
    };
    let weights = [open("ve.safetensors", Part::VoiceEncoder), open("s3gen.safetensors", Part::S3Gen)];
    for ticks in [0, 4] {
        let stopped = Encoders::load(&weights[0], &weights[1], &Ticks(AtomicUsize::new(ticks)));
        assert!(matches!(stopped.err(), Some(NnError::Stopped)), "after {ticks} ticks");
    }
}

#[test]
fn a_tensor_too_many_or_too_few_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ve.safetensors");
    write(&path, Part::VoiceEncoder, Depth::Full).expect("written");
    let bytes = std::fs::read(&path).expect("read");
    let file = SafeTensors::deserialize(&bytes).expect("safetensors");
    let load = |change: &dyn Fn(&mut Tensors<'_>)| {
        let mut tensors = file.tensors();
        change(&mut tensors);
        safetensors::serialize_to_file(tensors, None, &path).expect("written");
        let weights = Weights::open(&path, &Device::Cpu).expect("opened");
        VoiceEncoder::load(&weights).err().map_or_else(String::new, |error| error.to_string())
    };
    assert_eq!(load(&|_| ()), "");
    let extra = TensorView::new(Dtype::F32, vec![1], &[0; 4]).expect("a tensor");
    assert!(load(&|tensors| tensors.push(("lstm.extra".to_owned(), extra.clone()))).contains("lstm.extra"));
    let without = |name: &str| load(&|tensors| tensors.retain(|tensor| tensor.0 != name));
    for name in ["lstm.weight_ih_l0", "lstm.bias_hh_l2", "proj.bias"] {
        assert!(without(name).contains(name), "{name}: {}", without(name));
    }
}

#[test]
fn any_rate_keeps_pitch_phase_and_length() {
    let tone = |rate: u32, count: usize| -> Vec<f32> {
        (0..count)
            .map(|i| (std::f64::consts::TAU * 1000.0 * i as f64 / f64::from(rate)).sin() as f32)
            .collect()
    };
    // The last three have next to nothing in common with 24 kHz.
    for rate in [8_000, 11_025, 32_000, 96_000, 384_000, 22_254, 44_099, 47_999] {
        let ours = features::resample_hq(&tone(rate, rate as usize / 2), rate, 24_000, &Unwatched)
            .expect("resampled");
        assert_eq!(ours.len(), (rate as usize / 2 * 24_000).div_ceil(rate as usize), "{rate} Hz");
        let theirs = tone(24_000, ours.len());
        let off = (400..ours.len() - 400).map(|i| (ours[i] - theirs[i]).abs()).fold(0.0, f32::max);
        assert!(off < 2e-4, "{rate} Hz: off by {off}");
    }
}
