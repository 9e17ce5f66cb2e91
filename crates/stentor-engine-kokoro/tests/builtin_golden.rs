//! The embedded model against the activations that its training code's network gives for one sentence.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use std::{collections::HashMap, path::Path, sync::Mutex};
use stentor_engine_kokoro::{
    Config,
    model::{Excitation, Kokoro, Style},
};
use stentor_nn::{Watch, Weights};

/// Keeps every layer's output.
#[derive(Default)]
struct Recorder(Mutex<HashMap<String, Tensor>>);

impl Watch for Recorder {
    fn tick(&self) -> bool {
        true
    }
    fn layer(&self, name: &str, output: &Tensor) {
        self.0.lock().unwrap().insert(name.to_owned(), output.contiguous().unwrap());
    }
}

fn builtin(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/builtin").join(file)
}

fn max_error(ours: &Tensor, golden: &Tensor) -> f32 {
    let golden = golden.squeeze(0).unwrap();
    assert_eq!(ours.elem_count(), golden.elem_count());
    let flat = |t: &Tensor| t.contiguous().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat(ours).iter().zip(flat(&golden)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn every_stage_agrees_with_the_network_that_was_trained() {
    let device = Device::Cpu;
    let config = Config::parse(&std::fs::read_to_string(builtin("config.json")).unwrap()).unwrap();
    let weights = Weights::open(&builtin("model.safetensors"), &device).unwrap();
    let model = Kokoro::load(&weights, &config, &device).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/builtin.safetensors");
    let golden = candle_core::safetensors::load(golden, &device).unwrap();

    let ids: Vec<u32> =
        golden["ids"].flatten_all().unwrap().to_vec1::<i64>().unwrap().iter().map(|&id| id as u32).collect();
    let row = golden["ref_s"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let style = Style::new(&row, &device).unwrap();
    let recorder = Recorder::default();
    let plan = model.plan(&ids, &style, 1.0, &recorder).unwrap();
    let durations: Vec<i64> = plan.durations.iter().map(|&frames| frames as i64).collect();
    assert_eq!(durations, golden["pred_dur"].to_vec1::<i64>().unwrap());

    let source = golden["source"].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let curves = model.curves(&plan, &recorder).unwrap();
    let audio = model.render(&plan, &curves, Excitation::Signal(&source), &recorder).unwrap();
    let audio = Tensor::new(audio, &device).unwrap();
    model.render(&plan, &curves, Excitation::Noise(&[]), &recorder).unwrap();
    let mut layers = recorder.0.into_inner().unwrap();
    layers.insert("audio".to_owned(), audio);
    let clean = layers["decoder.generator.m_source.l_linear"].tanh().unwrap();
    layers.insert("source".to_owned(), clean);
    {
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
            let error = max_error(&layers[ours], &golden[theirs]);
            println!("{ours}: {error:e}");
            assert!(error < tolerance, "{ours} is off by {error}");
        }
    }
}
