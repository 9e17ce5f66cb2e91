//! Keeps the layers that a pass shows, to hold them to a golden.

use candle_core::{Device, Tensor};
use std::{collections::BTreeMap, sync::Mutex};
use stentor_nn::Watch;
use stentor_testkit::chatterbox::Golden;

#[derive(Default)]
pub(crate) struct Recorder(Mutex<BTreeMap<String, Tensor>>);

impl Watch for Recorder {
    fn tick(&self) -> bool {
        true
    }

    fn layer(&self, name: &str, output: &Tensor) {
        let output = output.to_device(&Device::Cpu).and_then(|x| x.contiguous()).expect("a tensor");
        self.0.lock().expect("no test panics here").insert(name.to_owned(), output);
    }
}

impl Recorder {
    /// What each layer gave last, in host memory.
    pub(crate) fn into_layers(self) -> BTreeMap<String, Tensor> {
        self.0.into_inner().expect("no test panics here")
    }
}

/// Holds a layer to the golden of its name; returns the error relative to its magnitude.
pub(crate) fn check(golden: &Golden, name: &str, layer: &Tensor, tolerance: f64) -> f64 {
    let values: Vec<f32> = layer.flatten_all().and_then(|flat| flat.to_vec1()).expect("numbers");
    golden.check(name, layer.dims(), &values, tolerance)
}
