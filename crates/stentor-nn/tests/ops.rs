//! The CPU kernels against definitions written out, and against candle's own ops.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use candle_core::{Device, Tensor};
use stentor_nn::{
    Activation, AdaIn, BiLstm, Conv1d, ConvShape, ConvTranspose1d, DepthwiseUpsample, LayerNorm, Linear,
    Packing, Unwatched, Weights, activate, mean_of, repeat_interleave, repeat_twice, self_attention,
};

/// Numbers within ±1 that differ from call to call only by `salt`.
fn numbers(count: usize, salt: u64) -> Vec<f32> {
    let mut state = salt.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor(shape: &[usize], salt: u64) -> Tensor {
    Tensor::from_vec(numbers(shape.iter().product(), salt), shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[track_caller]
fn assert_close(ours: &Tensor, expected: &Tensor, tolerance: f32) {
    assert_eq!(ours.dims(), expected.dims());
    for (index, (a, b)) in flat(ours).iter().zip(flat(expected)).enumerate() {
        assert!((a - b).abs() <= tolerance, "element {index}: {a}, not {b}");
    }
}

/// A checkpoint in memory with the given tensors.
fn weights(tensors: &[(&str, &Tensor)]) -> Weights {
    let tensors = tensors.iter().map(|(name, tensor)| ((*name).to_owned(), (*tensor).clone())).collect();
    let file = tempfile::NamedTempFile::with_suffix(".safetensors").unwrap();
    candle_core::safetensors::save::<String, _>(&tensors, file.path()).unwrap();
    Weights::open(file.path(), &Device::Cpu).unwrap()
}

#[test]
fn convolution_agrees_with_candle_at_every_geometry() {
    let cases = [
        // input, output, kernel, stride, padding, dilation, length
        (3, 5, 1, 1, 0, 1, 7),
        (130, 300, 3, 1, 1, 1, 1100),
        (24, 17, 11, 1, 25, 5, 1300),
        (8, 4, 7, 1, 9, 3, 5),
        (22, 16, 12, 6, 3, 1, 601),
        (1, 1, 3, 2, 1, 1, 166),
        (42, 80, 10, 5, 3, 1, 831),
        (2, 3, 5, 1, 0, 2, 9),
    ];
    for (case, (input, output, kernel, stride, padding, dilation, len)) in cases.into_iter().enumerate() {
        let shape = ConvShape { input, output, kernel, stride, padding, dilation };
        let (x, weight) = (tensor(&[input, len], 1), tensor(&[output, input, kernel], 2));
        let bias = tensor(&[output], 3);
        let plain = x.unsqueeze(0).unwrap().conv1d(&weight, padding, stride, dilation, 1).unwrap();
        let expected = plain.squeeze(0).unwrap().broadcast_add(&bias.unsqueeze(1).unwrap()).unwrap();
        let conv = Conv1d::new(&weight, Some(bias), shape).unwrap();
        println!("case {case}");
        assert_close(&conv.forward(&x, &Unwatched).unwrap(), &expected, 2e-4);
        let residual = tensor(expected.dims(), 4);
        let both = conv.forward_add(&x, &residual, &Unwatched).unwrap();
        assert_close(&both, &(expected + residual).unwrap(), 2e-4);
    }
}

#[test]
fn transposed_convolution_agrees_with_its_definition() {
    for (input, output, kernel, stride, padding, len) in [
        (6, 4, 20, 10, 5, 13),
        (5, 3, 12, 6, 3, 40),
        (4, 2, 7, 3, 2, 9),
        (3, 2, 11, 5, 3, 1),
        (2, 2, 4, 4, 0, 3),
    ] {
        let (x, weight, bias) =
            (numbers(input * len, 1), numbers(input * output * kernel, 2), numbers(output, 3));
        let total = (len - 1) * stride + kernel - 2 * padding;
        let mut expected: Vec<f32> = (0..output * total).map(|index| bias[index / total]).collect();
        for (i, o, step, tap) in (0..input).flat_map(|i| {
            (0..output).flat_map(move |o| (0..len).flat_map(move |s| (0..kernel).map(move |k| (i, o, s, k))))
        }) {
            let target = step * stride + tap;
            if (padding..padding + total).contains(&target) {
                expected[o * total + target - padding] +=
                    x[i * len + step] * weight[(i * output + o) * kernel + tap];
            }
        }
        let (x, weight) = (tensor(&[input, len], 1), tensor(&[input, output, kernel], 2));
        let conv = ConvTranspose1d::new(weight, tensor(&[output], 3), stride, padding);
        let expected = Tensor::from_vec(expected, (output, total), &Device::Cpu).unwrap();
        assert_close(&conv.forward(&x, &Unwatched).unwrap(), &expected, 1e-5);
    }
}

#[test]
fn depthwise_closed_form_agrees_with_candles_grouped_transposed_convolution() {
    for len in [2, 3, 33] {
        let (x, weight, bias) = (tensor(&[7, len], 1), tensor(&[7, 1, 3], 2), tensor(&[7], 3));
        let plain =
            x.unsqueeze(0).unwrap().conv_transpose1d(&weight, 1, 1, 2, 1, 7).unwrap().squeeze(0).unwrap();
        let expected = plain.broadcast_add(&bias.unsqueeze(1).unwrap()).unwrap();
        let upsample = DepthwiseUpsample::new(weight, bias);
        assert_close(&upsample.forward(&x, &Unwatched).unwrap(), &expected, 1e-6);
    }
}

/// One direction of torch's LSTM, written out.
fn lstm(x: &[Vec<f32>], input: &[f32], recurrent: &[f32], bias: &[f32], hidden: usize) -> Vec<Vec<f32>> {
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    let (mut h, mut c) = (vec![0.0f32; hidden], vec![0.0f32; hidden]);
    let mut out = Vec::new();
    for row in x {
        let dot =
            |weights: &[f32], values: &[f32]| weights.iter().zip(values).map(|(a, b)| a * b).sum::<f32>();
        let gate = |index: usize| {
            bias[index]
                + dot(&input[index * row.len()..][..row.len()], row)
                + dot(&recurrent[index * hidden..][..hidden], &h)
        };
        let gates: Vec<f32> = (0..4 * hidden).map(gate).collect();
        for unit in 0..hidden {
            let [i, f, g, o] = [0, 1, 2, 3].map(|gate| gates[gate * hidden + unit]);
            c[unit] = sigmoid(f) * c[unit] + sigmoid(i) * g.tanh();
            h[unit] = sigmoid(o) * c[unit].tanh();
        }
        out.push(h.clone());
    }
    out
}

#[test]
fn bidirectional_lstm_agrees_with_its_definition_in_both_directions() {
    // A width whose gates do not fill whole panels, and one whose do.
    for (input, hidden, len) in [(5, 6, 40), (12, 32, 7), (3, 4, 1)] {
        let names = ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"];
        let shapes = [vec![4 * hidden, input], vec![4 * hidden, hidden], vec![4 * hidden], vec![4 * hidden]];
        let x: Vec<Vec<f32>> = numbers(len * input, 9).chunks(input).map(<[f32]>::to_vec).collect();
        let (mut stored, mut directions) = (Vec::new(), Vec::new());
        for (direction, suffix) in ["", "_reverse"].into_iter().enumerate() {
            let tensors: Vec<Tensor> = shapes
                .iter()
                .zip(1..)
                .map(|(shape, salt)| tensor(shape, salt + 10 * direction as u64))
                .collect();
            let values: Vec<Vec<f32>> = tensors.iter().map(flat).collect();
            let bias: Vec<f32> = values[2].iter().zip(&values[3]).map(|(a, b)| a + b).collect();
            let ordered: Vec<_> = if direction == 0 { x.clone() } else { x.iter().rev().cloned().collect() };
            let mut out = lstm(&ordered, &values[0], &values[1], &bias, hidden);
            if direction == 1 {
                out.reverse();
            }
            directions.push(out);
            stored
                .extend(names.iter().zip(tensors).map(|(name, tensor)| (format!("{name}{suffix}"), tensor)));
        }
        let named: Vec<(&str, &Tensor)> =
            stored.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
        let layer = BiLstm::load(&weights(&named).root(), input, hidden).unwrap();
        let rows =
            directions[0].iter().zip(&directions[1]).flat_map(|(a, b)| a.iter().chain(b)).copied().collect();
        let expected = Tensor::from_vec::<_, f32>(rows, (len, 2 * hidden), &Device::Cpu).unwrap();
        assert_close(&layer.forward(&tensor(&[len, input], 9), &[len], &Unwatched).unwrap(), &expected, 2e-6);
    }
}

/// A function of a value and its channel.
type OfChannel<'a> = &'a dyn Fn(f64, usize) -> f64;

#[test]
fn adaptive_instance_norm_agrees_with_its_definition_under_each_activation() {
    let (channels, len, width) = (5, 77, 3);
    let (weight, bias) = (tensor(&[2 * channels, width], 1), tensor(&[2 * channels], 2));
    let (x, style, alpha) = (
        tensor(&[channels, len], 3),
        tensor(&[1, width], 4),
        (tensor(&[channels], 5).abs().unwrap() + 0.5).unwrap(),
    );
    let norm =
        AdaIn::load(&weights(&[("fc.weight", &weight), ("fc.bias", &bias)]).root(), width, channels).unwrap();
    let h = flat(&(weight.matmul(&style.t().unwrap()).unwrap().squeeze(1).unwrap() + bias).unwrap());
    let alphas = flat(&alpha);
    let activations: [(Activation<'_>, OfChannel<'_>); 3] = [
        (Activation::Identity, &|y, _| y),
        (Activation::LeakyRelu(0.2), &|y, _| if y > 0.0 { y } else { 0.2 * y }),
        (Activation::Snake(&alpha), &|y, c| {
            y + (f64::from(alphas[c]) * y).sin().powi(2) / f64::from(alphas[c])
        }),
    ];
    for (activation, function) in activations {
        let mut expected = Vec::new();
        for (channel, row) in flat(&x).chunks(len).enumerate() {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / len as f64;
            let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / len as f64;
            let (gamma, beta) = (f64::from(h[channel]), f64::from(h[channels + channel]));
            let styled = |x: &f32| (1.0 + gamma) * (f64::from(*x) - mean) / (variance + 1e-5).sqrt() + beta;
            expected.extend(row.iter().map(|x| function(styled(x), channel) as f32));
        }
        let expected = Tensor::from_vec(expected, (channels, len), &Device::Cpu).unwrap();
        assert_close(
            &norm
                .defer(x.clone(), (&style, &Packing::alone(len)), activation, &Unwatched)
                .and_then(|normal| normal.finish(&Unwatched))
                .unwrap(),
            &expected,
            3e-6,
        );
    }
}

#[test]
fn layer_norm_uses_the_epsilon_it_was_given() {
    let (gain, shift) = (tensor(&[64], 1), tensor(&[64], 2));
    let weights = weights(&[("weight", &gain), ("bias", &shift)]);
    // A variance far below 1e-5.
    let x = (tensor(&[3, 64], 3) * 1e-3).unwrap();
    for eps in [1e-12f32, 1e-5] {
        let norm = LayerNorm::load(&weights.root(), ["weight", "bias"], 64, eps).unwrap();
        let centred = x.broadcast_sub(&x.mean_keepdim(1).unwrap()).unwrap();
        let variance = centred.sqr().unwrap().mean_keepdim(1).unwrap();
        let normal = centred.broadcast_div(&(variance + f64::from(eps)).unwrap().sqrt().unwrap()).unwrap();
        let expected = normal.broadcast_mul(&gain).unwrap().broadcast_add(&shift).unwrap();
        assert_close(&norm.forward(&x, &Unwatched).unwrap(), &expected, 1e-5);
    }
}

#[test]
fn linear_layers_and_attention_agree_with_candles_products() {
    let (x, weight, bias) = (tensor(&[70, 300], 1), tensor(&[260, 300], 2), tensor(&[260], 3));
    let expected = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
    assert_close(&Linear::new(&weight, bias).unwrap().forward(&x, &Unwatched).unwrap(), &expected, 1e-4);

    let (len, heads, width) = (130, 3, 8);
    let [q, k, v] = [1, 2, 3].map(|salt| (tensor(&[len, heads * width], salt) * 2.0).unwrap());
    let split =
        |x: &Tensor| x.reshape((len, heads, width)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
    let scores = split(&q).matmul(&split(&k).t().unwrap().contiguous().unwrap()).unwrap();
    let scores = (scores / (width as f64).sqrt()).unwrap().exp().unwrap();
    let shares = scores.broadcast_div(&scores.sum_keepdim(2).unwrap()).unwrap();
    let expected =
        shares.matmul(&split(&v)).unwrap().transpose(0, 1).unwrap().reshape((len, heads * width)).unwrap();
    assert_close(&self_attention(&q, &k, &v, heads, &Unwatched).unwrap(), &expected, 1e-5);
}

#[test]
fn activations_and_rearrangements_agree_with_candle() {
    let x = (tensor(&[4, 1000], 1) * 6.0).unwrap();
    let gelu = activate(&x, Activation::GeluTanh, &Unwatched).unwrap();
    assert_close(&gelu, &x.gelu().unwrap(), 2e-6);
    let parts = [1, 2, 3].map(|salt| tensor(&[4, 9], salt));
    let mean = (((&parts[0] + &parts[1]).unwrap() + &parts[2]).unwrap() / 3.0).unwrap();
    assert_close(&mean_of(&parts, &Unwatched).unwrap(), &mean, 1e-6);
    let small = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    assert_eq!(flat(&repeat_twice(&small, &Unwatched).unwrap()), [1., 1., 2., 2., 3., 3., 4., 4.]);
    assert_eq!(flat(&repeat_interleave(&small, &[2, 1]).unwrap()), [1., 2., 1., 2., 3., 4.]);
}
