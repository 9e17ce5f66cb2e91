//! The card's kernels, compiled for the host and run there, against our layers: no card is needed to know what they compute.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/operands.rs"]
mod operands;
#[path = "kernels/runner.rs"]
mod runner;

use candle_core::{DType, Device, Tensor};
use operands::{assert_close, random, values, weights};
use runner::Input;
use stentor_nn::{Activation, AdaIn, BiLstm, LayerNorm, Packing, Unwatched};

/// As kernels take lengths and places.
fn small(numbers: &[usize]) -> Vec<u32> {
    numbers.iter().map(|&number| number as u32).collect()
}

#[test]
fn the_styled_norm_is_that_of_the_cpu() {
    let (channels, style) = (5, 3);
    let (weight, bias) = (random(&[2 * channels, style]), random(&[2 * channels]));
    let layer = AdaIn::load(&weights(&[("fc.weight", &weight), ("fc.bias", &bias)]).root(), style, channels);
    let layer = layer.unwrap();
    let alphas = (random(&[channels]).abs().unwrap() + 0.5).unwrap();
    for lens in [vec![700], vec![300, 9, 517]] {
        let packing = Packing::new(&lens, 6, &Device::Cpu);
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
            let ours = layer.defer(x.clone(), (&styles, &packing), activation, &Unwatched);
            let ours = ours.and_then(|normal| normal.finish(&Unwatched)).unwrap();
            let input = Input::default().floats(&values(&x)).floats(&values(&styles));
            let input = input.floats(&values(&weight)).floats(&values(&bias));
            let card = input
                .floats(&alphas)
                .integers(&small(&lens))
                .floats(&[slope, 1e-5])
                .run("layers.cpp", &["styled_norm"]);
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
        let packing = Packing::new(&[1, 3], 1, &Device::Cpu);
        let rows = 2 * packing.pitch();
        let x = (random(&[rows, columns]) + 3.0).unwrap();
        let run = |kernel: &str, offset: &[f32], activation: u32, packing: &Packing| {
            let lens = if packing.count() > 1 { small(packing.lens()) } else { Vec::new() };
            let input = Input::default().floats(&values(&x)).floats(&values(&gain)).floats(&values(&shift));
            let input = input.floats(offset).floats(&[0.2, 1e-5]).integers(&[activation]).integers(&lens);
            input.run("layers.cpp", &[kernel])
        };
        let alone = Packing::alone(rows);
        let ours = layer.forward(&x, &Unwatched).unwrap();
        assert_close(&run("layer_norm", &[], 0, &alone), &values(&ours), 2e-5);
        assert_close(&run("layer_norm_to_half", &[], 0, &alone), &values(&ours), 3e-3);
        let forward = |activation: Activation<'_>, offset: Option<&Tensor>, packing: &Packing| {
            values(&layer.forward_activate(&x, activation, (offset, packing), &Unwatched).unwrap())
        };
        let ours = forward(Activation::LeakyRelu(0.2), None, &alone);
        assert_close(&run("layer_norm", &[], 1, &alone), &ours, 2e-5);
        for packing in [alone, packing] {
            let ours = forward(Activation::Mish, Some(&offset), &packing);
            assert_close(&run("layer_norm", &values(&offset), 5, &packing), &ours, 2e-5);
            assert_close(&run("layer_norm_to_half", &values(&offset), 5, &packing), &ours, 5e-3);
        }
    }
}

#[test]
fn a_sum_and_its_norm_are_those_of_the_cpu() {
    for columns in [7, 256, 700] {
        let [bias, gain, shift] = [(); 3].map(|()| random(&[columns]));
        let stored = weights(&[("weight", &gain), ("bias", &shift)]);
        let layer = LayerNorm::load(&stored.root(), ["weight", "bias"], columns, 1e-5).unwrap();
        let [product, other] = [(); 2].map(|()| random(&[5, columns]));
        let product = product.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap();
        for bias in [None, Some(&bias)] {
            let sum = bias.map_or(Ok(product.clone()), |bias| product.broadcast_add(bias)).unwrap();
            let sum = (sum + &other).unwrap();
            let normal = layer.forward(&sum, &Unwatched).unwrap();
            for (kernel, tolerance) in [("add_layer_norm", 2e-5), ("add_layer_norm_halves", 3e-3)] {
                let input = [Some(&product), bias, Some(&other), Some(&gain), Some(&shift)];
                let input = input.iter().fold(Input::default(), |input, operand| {
                    input.floats(&operand.map(values).unwrap_or_default())
                });
                let mut card = input.floats(&[1e-5]).run("layers.cpp", &[kernel]);
                assert_close(&card.split_off(5 * columns), &values(&normal), tolerance);
                assert_close(&card, &values(&sum), 1e-6);
            }
        }
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
            .integers(&small(&starts))
            .integers(&small(&lens))
            .run("layers.cpp", &["bidirectional_lstm"]);
        assert_close(&card, &values(&ours), 1e-5);
    }
}
