//! Layers on the first CUDA device against the same layers on the CPU, over lengths and widths that fit no tile. Only built with the
//! feature `cuda`; where there is no such device every test fails. `just parity-cuda` runs it, one test at a time.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test fails by panicking and shows its figures"
)]

use candle_core::{DType, Device, Tensor};
use std::{cell::Cell, collections::HashMap};
use stentor_nn::{
    Activation, AdaIn, Conv1d, ConvShape, ConvTranspose1d, DepthwiseUpsample, LayerNorm, Linear, Packing,
    RelativePositions, Replay, RowConv, RowShape, Then, Unwatched, Weights, activate, activate_packed,
    mean_of, open_device, packed_attention, relative_attention, repeat_rows_twice, repeat_twice,
    self_attention_of_stretches,
};
use stentor_types::{DeviceSpec, Precision};

/// Of numbers about one, and in proportion of larger ones: the same sums in another order, and factors rounded to 11 bits.
const PRECISIONS: [(Precision, f32); 2] = [(Precision::F32, 1e-4), (Precision::F16, 5e-3)];

/// Between sequences of 701 numbers and fewer, so that they are as far apart on a card as on the CPU.
const GAP: usize = 3;

fn card() -> Device {
    let opened = open_device(DeviceSpec::Cuda(0), Precision::F32);
    assert_eq!(opened.spec, DeviceSpec::Cuda(0), "no CUDA device: {}", opened.degraded.unwrap_or_default());
    opened.device
}

fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
}

/// A layer's tensors as a checkpoint.
struct Stored(tempfile::NamedTempFile);

impl Stored {
    /// `weight` is scaled so that outputs are of the inputs' magnitude.
    fn new(weight: &[usize], summed: usize, bias: usize) -> Self {
        Self::under("", weight, summed, bias)
    }

    fn under(prefix: &str, weight: &[usize], summed: usize, bias: usize) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        let weight = (random(weight) / (summed as f64).sqrt()).unwrap();
        let tensors = [("weight", weight), ("bias", random(&[bias]))];
        let tensors: HashMap<_, _> = tensors.map(|(name, x)| (format!("{prefix}{name}"), x)).into();
        candle_core::safetensors::save(&tensors, file.path()).unwrap();
        Self(file)
    }

    fn on(&self, device: &Device) -> Weights {
        Weights::open(self.0.path(), device).unwrap()
    }
}

#[track_caller]
fn assert_close(what: &str, card: &Tensor, cpu: &Tensor, tolerance: f32) {
    assert_eq!(card.dims(), cpu.dims(), "{what}");
    let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let errors = values(card).into_iter().zip(values(cpu)).map(|(a, b)| (a - b).abs() / b.abs().max(1.0));
    let worst =
        errors.fold(0.0, |most: f32, error| if error.is_nan() { f32::INFINITY } else { most.max(error) });
    println!("{what}: {worst}");
    assert!(worst < tolerance, "{what}: {worst}");
}

/// `run` on both devices, the inputs being there, in both precisions.
fn compare(
    what: &str,
    card: &Device,
    inputs: &[&Tensor],
    run: impl Fn(&Device, Precision, &[Tensor]) -> Tensor,
) {
    let there: Vec<Tensor> = inputs.iter().map(|x| x.to_device(card).unwrap()).collect();
    let here: Vec<Tensor> = inputs.iter().map(|x| (*x).clone()).collect();
    let cpu = run(&Device::Cpu, Precision::F32, &here);
    for (precision, tolerance) in PRECISIONS {
        assert_close(&format!("{what} {precision:?}"), &run(card, precision, &there), &cpu, tolerance);
    }
}

#[test]
fn convolutions_agree() {
    let card = card();
    let same = ConvShape::same;
    let strided = |input, output, stride: usize, padding| ConvShape {
        input,
        output,
        kernel: 2 * stride,
        stride,
        padding,
        dilation: 1,
    };
    for (shape, len) in [
        (same(128, 128, 3, 1), 24_001),
        (same(128, 128, 11, 5), 6_007),
        (same(256, 256, 7, 3), 999),
        (same(1090, 1024, 3, 1), 37),
        (same(514, 1024, 1, 1), 3),
        (same(128, 22, 7, 1), 5_001),
        (same(1, 1, 3, 1), 11),
        (strided(22, 256, 6, 3), 1_201),
        (strided(18, 128, 15, 7), 4_501),
        (same(33, 70, 5, 33), 150),
    ] {
        let stored =
            Stored::new(&[shape.output, shape.input, shape.kernel], shape.input * shape.kernel, shape.output);
        let x = random(&[shape.input, len]);
        let span = shape.dilation * (shape.kernel - 1) + 1;
        let residual = random(&[shape.output, (len + 2 * shape.padding - span) / shape.stride + 1]);
        compare(&format!("{shape:?} of {len}"), &card, &[&x, &residual], |device, precision, inputs| {
            let conv = Conv1d::load(&stored.on(device).root().with_products(precision), shape).unwrap();
            conv.forward_add(&inputs[0], &inputs[1], &Unwatched).unwrap()
        });
    }
}

#[test]
fn transposed_convolutions_agree() {
    let card = card();
    for ([input, output, kernel], stride, len) in [
        ([512, 256, 20], 10, 401),
        ([256, 128, 12], 6, 4_001),
        ([512, 256, 16], 8, 77),
        ([256, 128, 11], 5, 617),
        ([128, 64, 7], 3, 3_081),
        ([5, 3, 7], 3, 1),
    ] {
        let stored = Stored::new(&[input, output, kernel], 2 * input, output);
        let what = format!("transposed {input} {output} {kernel} {stride} of {len}");
        compare(&what, &card, &[&random(&[input, len])], |device, precision, inputs| {
            let (weights, padding) = (stored.on(device), (kernel - stride) / 2);
            let scope = weights.root().with_products(precision);
            let conv = ConvTranspose1d::load(&scope, [input, output, kernel], stride, padding).unwrap();
            conv.forward(&inputs[0], &Unwatched).unwrap()
        });
    }
}

#[test]
fn rows_agree() {
    let card = card();
    for (shape, len) in [
        (RowShape::causal(320, 256, 3), 1_001),
        (RowShape::looking_ahead(512, 512, 4), 33),
        (RowShape::causal(80, 7, 1), 5),
    ] {
        let stored =
            Stored::new(&[shape.output, shape.input, shape.kernel], shape.input * shape.kernel, shape.output);
        let (x, other) = (random(&[len, shape.input]), random(&[len, shape.output]));
        for kind in ["nothing", "gelu", "leaky", "sum"] {
            compare(
                &format!("{shape:?} of {len}, {kind}"),
                &card,
                &[&x, &other],
                |device, precision, inputs| {
                    let conv =
                        RowConv::load(&stored.on(device).root().with_products(precision), shape).unwrap();
                    let then = match kind {
                        "gelu" => Then::Activate(Activation::GeluErf),
                        "leaky" => Then::Activate(Activation::LeakyRelu(0.01)),
                        "sum" => Then::Add(&inputs[1]),
                        _ => Then::Nothing,
                    };
                    conv.forward(&inputs[0], then, &Unwatched).unwrap()
                },
            );
        }
    }
}

#[test]
fn what_surrounds_convolutions_agrees() {
    let card = card();
    let lens = [701, 9, 517];
    let packings = [&Device::Cpu, &card].map(|device| Packing::new(&lens, GAP, device));
    let doubled = packings.each_ref().map(|packing| packing.stretched(2, 0));
    let on = |device: &Device| usize::from(device.is_cuda());
    let sequences: Vec<Tensor> = lens.iter().map(|&len| random(&[5, len])).collect();
    let x = packings[0].pack(&sequences).unwrap();
    let alphas = (random(&[5]).abs().unwrap() + 0.5).unwrap();
    compare("snake", &card, &[&x, &alphas], |_, _, inputs| {
        activate(&inputs[0], Activation::Snake(&inputs[1]), &Unwatched).unwrap()
    });
    let leaky = Activation::LeakyRelu(0.1);
    compare("packed activation", &card, &[&x], |device, _, inputs| {
        activate_packed(&inputs[0], leaky, &packings[on(device)], &Unwatched).unwrap()
    });
    compare("mean", &card, &[&x], |_, _, inputs| {
        let twice = (&inputs[0] * 2.0).unwrap();
        mean_of(&[inputs[0].clone(), twice, inputs[0].clone()], &Unwatched).unwrap()
    });
    compare("columns twice", &card, &[&x], |_, _, inputs| repeat_twice(&inputs[0], &Unwatched).unwrap());
    compare("rows twice", &card, &[&x], |_, _, inputs| repeat_rows_twice(&inputs[0], &Unwatched).unwrap());
    let stored = Stored::new(&[5, 1, 3], 1, 5);
    compare("depthwise", &card, &[&x], |device, _, inputs| {
        let pool = DepthwiseUpsample::load(&stored.on(device).root(), 5).unwrap();
        pool.forward_packed(&inputs[0], &doubled[on(device)], &Unwatched).unwrap()
    });
}

/// `x` on a card of this precision.
fn stored_as(x: &Tensor, precision: Precision) -> Tensor {
    match precision {
        Precision::F32 => x.clone(),
        _ => x.to_dtype(DType::F16).unwrap(),
    }
}

#[test]
fn attention_agrees_and_is_the_same_whatever_is_beside() {
    let card = card();
    for (heads, width) in [(8, 64), (12, 32)] {
        let (hidden, lens) = (heads * width, [701, 1, 517, 64]);
        let packings = [&Device::Cpu, &card].map(|device| Packing::new(&lens, GAP, device));
        let sequences: Vec<Tensor> = lens.iter().map(|&len| random(&[len, 3 * hidden])).collect();
        let qkv = packings[0].pack_rows(&sequences).unwrap();
        let distances = random(&[2 * packings[0].pitch() - 1, hidden]);
        let biases = [(); 2].map(|()| random(&[hidden]));
        let what = format!("attention of {heads} heads of {width}");
        compare(&what, &card, &[&qkv], |device, precision, inputs| {
            let packing = &packings[usize::from(device.is_cuda())];
            let qkv = stored_as(&inputs[0], precision);
            let seen = packed_attention(&qkv, heads, packing, &Unwatched).unwrap();
            for (sequence, together) in sequences.iter().zip(packing.unpack_rows(&seen).unwrap()) {
                let alone = Packing::alone(sequence.dims2().unwrap().0);
                let sequence = stored_as(&sequence.to_device(device).unwrap(), precision);
                let alone = packed_attention(&sequence, heads, &alone, &Unwatched).unwrap();
                let bits = |x: &Tensor| x.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
                // Heads of another width go through candle's ops in half precision, padded.
                let ours = precision == Precision::F32 || width == 64;
                assert!(!ours || bits(&alone) == bits(&together), "{what} {precision:?}");
            }
            packing.clear_row_gaps(&seen.to_dtype(DType::F32).unwrap()).unwrap()
        });
        let inputs = [&qkv, &distances, &biases[0], &biases[1]];
        compare(&format!("relative {what}"), &card, &inputs, |device, _, inputs| {
            let (distances, key_bias, distance_bias) = (&inputs[1], &inputs[2], &inputs[3]);
            let positions = RelativePositions { distances, key_bias, distance_bias };
            let packing = &packings[usize::from(device.is_cuda())];
            let seen = relative_attention(&inputs[0], heads, (positions, packing), &Unwatched).unwrap();
            packing.clear_row_gaps(&seen).unwrap()
        });
        let parts = [(); 3].map(|()| random(&[1_283, hidden]));
        compare(&format!("{what} in stretches"), &card, &parts.each_ref(), |_, _, inputs| {
            let qkv = [&inputs[0], &inputs[1], &inputs[2]];
            self_attention_of_stretches(qkv, heads, &lens, &Unwatched).unwrap()
        });
    }
}

#[test]
fn norms_and_linear_layers_agree() {
    let card = card();
    let lens = [701, 9, 517];
    let packings = [&Device::Cpu, &card].map(|device| Packing::new(&lens, GAP, device));
    let sequences: Vec<Tensor> = lens.iter().map(|&len| (random(&[70, len]) + 3.0).unwrap()).collect();
    let (x, styles) = (packings[0].pack(&sequences).unwrap(), random(&[3, 128]));
    let stored = Stored::under("fc.", &[140, 128], 128, 140);
    let alphas = (random(&[70]).abs().unwrap() + 0.5).unwrap();
    for kind in ["snake", "leaky"] {
        compare(
            &format!("styled norm, {kind}"),
            &card,
            &[&x, &styles, &alphas],
            |device, precision, inputs| {
                let weights = stored.on(device);
                let norm = AdaIn::load(&weights.root().with_products(precision), 128, 70).unwrap();
                let packing = &packings[usize::from(device.is_cuda())];
                let activation = match kind {
                    "snake" => Activation::Snake(&inputs[2]),
                    _ => Activation::LeakyRelu(0.2),
                };
                let x = inputs[0].clone();
                let normal = norm.defer(x, (&inputs[1], packing), activation, &Unwatched);
                normal.and_then(|normal| normal.finish(&Unwatched)).unwrap()
            },
        );
    }
    let (rows, stored) = (random(&[3 * packings[0].pitch(), 301]), Stored::new(&[301], 1, 301));
    compare("layer norm", &card, &[&rows], |device, precision, inputs| {
        let weights = stored.on(device);
        let norm = LayerNorm::load(&weights.root(), ["weight", "bias"], 301, 1e-5).unwrap();
        let packing = &packings[usize::from(device.is_cuda())];
        let cleared = packing.clear_row_gaps(&inputs[0]).unwrap();
        let normal = norm.forward(&cleared, &Unwatched).unwrap();
        let norm = norm.for_products(&weights.root().with_products(precision));
        let out = norm.forward_activate(&normal, Activation::Mish, (None, packing), &Unwatched).unwrap();
        out.to_dtype(DType::F32).unwrap()
    });
    let stored = Stored::new(&[33, 301], 301, 33);
    compare("linear for products", &card, &[&rows], |device, precision, inputs| {
        let weights = stored.on(device);
        let scope = weights.root().with_products(precision);
        let linear = RowConv::load_linear(&scope, 301, 33).unwrap().for_products();
        let gelu = Then::Activate(Activation::GeluErf);
        linear.forward(&inputs[0], gelu, &Unwatched).unwrap().to_dtype(DType::F32).unwrap()
    });
    let (square, norm) = (Stored::new(&[301, 301], 301, 301), Stored::new(&[301], 1, 301));
    compare("sum and norm", &card, &[&rows], |device, precision, inputs| {
        let (square, norm) = (square.on(device), norm.on(device));
        let scope = square.root().with_products(precision);
        let norm = LayerNorm::load(&norm.root(), ["weight", "bias"], 301, 1e-5).unwrap().for_products(&scope);
        let linear = RowConv::load_linear(&scope, 301, 301).unwrap();
        let (sum, normal) = linear.forward_add_norm(&inputs[0], &inputs[0], &norm, &Unwatched).unwrap();
        (sum + normal.to_dtype(DType::F32).unwrap()).unwrap()
    });
    compare("linear", &card, &[&rows], |device, precision, inputs| {
        let weights = stored.on(device);
        let linear = Linear::load(&weights.root().with_products(precision), 301, 33).unwrap();
        linear.forward(&inputs[0], &Unwatched).unwrap()
    });
}

/// What a pass adds.
type Offset<'a> = &'a dyn Fn() -> candle_core::Result<Tensor>;

#[test]
fn a_pass_is_replayed_for_as_long_as_it_does_the_same() {
    let card = card();
    let times = Cell::new(0_u8);
    let uploaded = |by: f64| Tensor::new(&[by as f32], &card);
    // Doubles what it is given, and adds something: the same, a number that changes behind its back, and one that is uploaded anew.
    let (same, kept) = (uploaded(1.0).unwrap(), [3.0, 4.0, 5.0].map(|by| uploaded(by).unwrap()));
    let waited = || {
        // What cannot be recorded, while tensors live that were allocated in the recording.
        if times.get() == 1 {
            card.synchronize()?;
        }
        Ok(same.clone())
    };
    let passes: [(&str, Offset<'_>, &[f32], bool); 4] = [
        ("the same", &|| Ok(same.clone()), &[1.0; 6], false),
        (
            "other tensors",
            &|| Ok(kept[usize::from(times.get()).min(2)].clone()),
            &[3.0, 4.0, 5.0, 5.0, 5.0, 5.0],
            true,
        ),
        ("waits", &waited, &[1.0; 6], true),
        ("uploads", &|| uploaded(times.get().into()), &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], true),
    ];
    for (what, offset, expected, refused) in passes {
        let mut replay = Replay::default();
        for (run, expected) in expected.iter().enumerate() {
            times.set(run as u8);
            let x = random(&[3, 50]);
            let pass = |given: &[Tensor]| {
                let doubled = activate(&(&given[0] + &given[0])?, Activation::Identity, &Unwatched)?;
                Ok(doubled.broadcast_add(&offset()?)?)
            };
            let found = replay.run(&[&x.to_device(&card).unwrap()], &pass).unwrap();
            let right = ((x * 2.0).unwrap() + f64::from(*expected)).unwrap();
            assert_close(&format!("{what}, run {run}"), &found, &right, 1e-6);
        }
        println!("{what}: {:?}", replay.refused());
        assert_eq!(replay.refused().is_some(), refused, "{what}");
    }
}
