//! The embedded model against the activations that its training code's network gives for one sentence.

use super::{On, Recorder, file, floats, golden, ids, integers, largest_difference};
use candle_core::{Device, Tensor};
use stentor_engine_kokoro::{
    Config,
    model::{Excitation, Kokoro, Style},
};
use stentor_nn::Weights;

fn builtin(name: &str) -> std::path::PathBuf {
    file("../../models/builtin").join(name)
}

/// What every stage's output must be.
pub(crate) fn check(on: &On) {
    let config = Config::parse(&std::fs::read_to_string(builtin("config.json")).unwrap()).unwrap();
    let weights = Weights::open(&builtin("model.safetensors"), &on.device).unwrap();
    let model = Kokoro::load(&weights, &config, &on.device, on.precision).unwrap();
    let golden = golden("builtin.safetensors");
    let style = Style::new(&floats(&golden["ref_s"]), &on.device).unwrap();
    let recorder = Recorder::default();
    let plan = model.plan(&ids(&golden), &style, 1.0, &recorder).unwrap();
    assert_eq!(plan.durations, integers(&golden["pred_dur"]));

    let source = floats(&golden["source"]);
    let curves = model.curves(&plan, &recorder).unwrap();
    let audio = model.render(&plan, &curves, Excitation::Signal(&source), &recorder).unwrap();
    let audio = Tensor::new(audio, &Device::Cpu).unwrap();
    model.render(&plan, &curves, Excitation::Noise(&[]), &recorder).unwrap();
    let mut layers = recorder.layers();
    layers.insert("audio".to_owned(), audio);
    let clean = layers["decoder.generator.m_source.l_linear"].tanh().unwrap();
    layers.insert("source".to_owned(), clean);
    for (ours, theirs, tolerance) in [
        ("bert", "bert", 1e-4),
        ("predictor.text_encoder", "duration_encoder", 1e-5),
        ("predictor.F0_proj", "f0", 5e-3),
        ("predictor.N_proj", "n", 1e-4),
        ("text_encoder", "text_encoder", 1e-5),
        ("decoder.decode.3", "decoder_features", 1e-4),
        ("source", "source_clean", 1e-3),
        ("audio", "audio", 1e-3),
    ] {
        let error = largest_difference(&floats(&layers[ours]), &floats(&golden[theirs]));
        println!("{ours}: {error:e}");
        assert!(error < tolerance * on.slack(ours), "{ours} is off by {error}");
    }
}
