//! The card's kernels, compiled for the host and run there, against our layers: no card is needed to know what they compute.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/operands.rs"]
mod operands;

use candle_core::{Device, Tensor};
use operands::{assert_close, random, values, weights};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};
use stentor_nn::{Activation, AdaIn, BiLstm, LayerNorm, Packing, Unwatched};

/// The program that runs them; the compiler is the one that the build needs anyway.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    let (_, program) = PROGRAM.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let (here, program) = (Path::new(env!("CARGO_MANIFEST_DIR")), folder.path().join("kernels"));
        let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
        let done = Command::new(compiler)
            .args(["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-o"])
            .arg(&program)
            .arg("-I")
            .arg(here.join("src/card"))
            .arg(here.join("tests/kernels/host.cpp"))
            .status()
            .unwrap();
        assert!(done.success(), "the kernels do not compile");
        (folder, program)
    });
    program
}

/// What a kernel is given, each list with its length before it.
#[derive(Default)]
struct Input(Vec<u8>);

impl Input {
    fn floats(mut self, values: &[f32]) -> Self {
        self.0.extend((values.len() as u32).to_le_bytes());
        self.0.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self
    }

    fn integers(mut self, values: &[usize]) -> Self {
        self.0.extend((values.len() as u32).to_le_bytes());
        self.0.extend(values.iter().flat_map(|&value| (value as u32).to_le_bytes()));
        self
    }

    /// Threads take their turns in one order, then in the other, which must not matter.
    fn run(self, kernel: &str) -> Vec<f32> {
        let [out, other] = ["forwards", "backwards"].map(|order| {
            let mut command = Command::new(program());
            command.args([kernel, order]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().unwrap();
            child.stdin.take().unwrap().write_all(&self.0).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{kernel}: {}", output.status);
            output.stdout
        });
        assert!(out == other, "{kernel}: the order of threads changes the result");
        out.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
}

#[test]
fn the_styled_norm_is_that_of_the_cpu() {
    let (channels, style) = (5, 3);
    let (weight, bias) = (random(&[2 * channels, style]), random(&[2 * channels]));
    let layer = AdaIn::load(&weights(&[("fc.weight", &weight), ("fc.bias", &bias)]).root(), style, channels);
    let layer = layer.unwrap();
    let alphas = (random(&[channels]).abs().unwrap() + 0.5).unwrap();
    for lens in [vec![700], vec![300, 9, 517]] {
        let packing = Packing::new(&lens, 6, &Device::Cpu).unwrap();
        let sequences: Vec<Tensor> =
            lens.iter().map(|&len| (random(&[channels, len]) + 3.0).unwrap()).collect();
        // What lies between sequences must not matter.
        let x = packing.pack(&sequences).unwrap();
        let junk = packing.clear_gaps(&Tensor::ones_like(&x).unwrap()).unwrap().affine(-9.0, 9.0).unwrap();
        let x = (x + junk).unwrap();
        let styles = random(&[lens.len(), style]);
        for (activation, alphas, slope) in [
            (Activation::Snake(&alphas), values(&alphas), 0.0),
            (Activation::LeakyRelu(0.2), vec![], 0.2),
            (Activation::Identity, vec![], 1.0),
        ] {
            let ours = layer.forward(&x, (&styles, &packing), activation, &Unwatched).unwrap();
            let input = Input::default().floats(&values(&x)).floats(&values(&styles));
            let input = input.floats(&values(&weight)).floats(&values(&bias));
            let card = input.floats(&alphas).integers(&lens).floats(&[slope, 1e-5]).run("styled_norm");
            assert_close(&card, &values(&ours), 2e-5);
        }
    }
}

#[test]
fn the_layer_norm_is_that_of_the_cpu() {
    for columns in [7, 256, 700] {
        let (gain, shift, offset) = (random(&[columns]), random(&[columns]), random(&[columns]));
        let stored = weights(&[("weight", &gain), ("bias", &shift)]);
        let layer = LayerNorm::load(&stored.root(), ["weight", "bias"], columns, 1e-5).unwrap();
        let x = (random(&[5, columns]) + 3.0).unwrap();
        let card = |offset: &[f32], activation: usize| {
            let input = Input::default().floats(&values(&x)).floats(&values(&gain)).floats(&values(&shift));
            input.floats(offset).floats(&[0.2, 1e-5]).integers(&[activation]).run("layer_norm")
        };
        assert_close(&card(&[], 0), &values(&layer.forward(&x, &Unwatched).unwrap()), 2e-5);
        let ours = layer.forward_activate(&x, Activation::Mish, Some(&offset), &Unwatched).unwrap();
        assert_close(&card(&values(&offset), 5), &values(&ours), 2e-5);
        let ours = layer.forward_activate(&x, Activation::LeakyRelu(0.2), None, &Unwatched).unwrap();
        assert_close(&card(&[], 1), &values(&ours), 2e-5);
    }
}

#[test]
fn the_lstm_is_that_of_the_cpu() {
    let (input, hidden) = (3, 6);
    let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
    let shapes = [vec![4 * hidden, input], vec![4 * hidden, hidden], vec![4 * hidden], vec![4 * hidden]];
    let directions = ["", "_reverse"].map(|suffix| {
        names
            .iter()
            .zip(&shapes)
            .map(|(name, shape)| (format!("{name}{suffix}"), random(shape)))
            .collect::<Vec<_>>()
    });
    let named: Vec<(&str, &Tensor)> =
        directions.iter().flatten().map(|(name, x)| (name.as_str(), x)).collect();
    let layer = BiLstm::load(&weights(&named).root(), input, hidden).unwrap();
    for lens in [vec![20], vec![7, 1, 12]] {
        let rows = lens.iter().sum::<usize>();
        let x = random(&[rows, input]);
        let ours = layer.forward(&x, &lens, &Unwatched).unwrap();
        let gates = directions.each_ref().map(|tensors| {
            let (weight, bias, other) = (&tensors[0], &tensors[2], &tensors[3]);
            let gates = x.matmul(&weight.1.t().unwrap()).unwrap().broadcast_add(&bias.1).unwrap();
            gates.broadcast_add(&other.1).unwrap()
        });
        let recurrent = directions.each_ref().map(|tensors| tensors[1].1.t().unwrap().contiguous().unwrap());
        let starts: Vec<usize> = (0..lens.len()).map(|index| lens[..index].iter().sum()).collect();
        let card = Input::default()
            .floats(&values(&Tensor::cat(&gates, 1).unwrap()))
            .floats(&values(&Tensor::cat(&recurrent, 0).unwrap()))
            .integers(&starts)
            .integers(&lens)
            .run("bidirectional_lstm");
        assert_close(&card, &values(&ours), 1e-5);
    }
}
