//! The card's kernels, compiled for the host and run there, with the very geometry, weights and tiles that a card is given, against our
//! layers on the CPU.

#[path = "../../tests/kernels/runner.rs"]
mod runner;

use super::{Geometry, KERNELS, Kernel, Plan};
use crate::{
    Activation, Conv1d, ConvShape, ConvTranspose1d, DepthwiseUpsample, Packing, RowShape, Unwatched,
    activate, mean_of, repeat_rows_twice, repeat_twice,
};
use candle_core::{DType, Device, Tensor};
use runner::Input;

/// A card with many multiprocessors, and one with few.
const PROCESSORS: [usize; 2] = [132, 14];

const HOST: &str = "conv.cpp";

trait Operands {
    fn tensor(self, x: Option<&Tensor>) -> Self;
}

impl Operands for Input {
    fn tensor(self, x: Option<&Tensor>) -> Self {
        let values = x.map(|x| x.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap());
        self.floats(&values.unwrap_or_default())
    }
}

fn words(geometry: &Geometry) -> [u32; 14] {
    let g = *geometry;
    let signed = |x: i32| x.cast_unsigned();
    [
        g.input,
        g.len,
        g.rows,
        g.columns,
        g.weight_pitch,
        g.kernel,
        signed(g.stride),
        signed(g.dilation),
        signed(g.padding),
        g.spread,
        g.cut,
        g.total,
        g.slope.to_bits(),
        g.splits,
    ]
}

fn random(dims: &[usize]) -> Tensor {
    Tensor::randn(0f32, 1.0, dims, &Device::Cpu).unwrap()
}

/// A weight whose outputs are of the inputs' magnitude.
fn weight(dims: [usize; 3], summed: usize) -> Tensor {
    (random(&dims) / (summed as f64).sqrt()).unwrap()
}

/// What is added to a layer's sums.
#[derive(Clone, Copy)]
struct Added<'a> {
    bias: Option<&'a Tensor>,
    residual: Option<&'a Tensor>,
}

fn on_card(plan: &Plan, x: &Tensor, added: Added<'_>, (kernel, geometry): (Kernel, Geometry)) -> Vec<f32> {
    let (columns, rows, splits) = kernel.grid(&geometry);
    assert_eq!(plan.input() * geometry.len as usize, x.elem_count());
    let card = Input::default()
        .integers(&words(&geometry))
        .integers(&[columns, rows, splits, kernel.threads])
        .tensor(Some(x))
        .tensor(Some(&plan.weight))
        .tensor(added.bias)
        .tensor(added.residual)
        .run(HOST, &[kernel.name]);
    assert_eq!(plan.channels() * geometry.total as usize, card.len());
    card
}

#[track_caller]
fn assert_close(what: &str, card: &[f32], ours: &Tensor, tolerance: f32) {
    let ours: Vec<f32> = ours.flatten_all().unwrap().to_vec1().unwrap();
    assert_eq!(card.len(), ours.len(), "{what}");
    let error = card.iter().zip(ours).map(|(a, b)| (a - b).abs());
    let error =
        error.fold(0.0, |most: f32, error| if error.is_nan() { f32::INFINITY } else { most.max(error) });
    assert!(error < tolerance, "{what}: {error}");
}

fn rounded(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

/// Runs a plan in single precision and in half, with the tiles that are chosen for cards and with every other, against `ours`, which
/// computes the layer out of an input and a weight in single precision.
fn check(
    what: &str,
    (weight, plan): (&Tensor, &dyn Fn(&Tensor) -> Plan),
    (x, added): (&Tensor, Added<'_>),
    ours: &dyn Fn(&Tensor, &Tensor) -> Tensor,
) {
    for dtype in [DType::F32, DType::F16] {
        let half = dtype == DType::F16;
        let plan = plan(&weight.to_dtype(dtype).unwrap());
        // The half precision kernels round what goes in and nothing else.
        let expected = if half { ours(&rounded(x), &rounded(weight)) } else { ours(x, weight) };
        let len = if plan.by_rows { x.dims()[0] } else { x.dims()[1] };
        let geometry = plan.of_len(len);
        let mut choices: Vec<_> = PROCESSORS.map(|count| plan.choose(geometry, count)).to_vec();
        let others = KERNELS.iter().filter(|kernel| (kernel.half, kernel.by_rows) == (half, plan.by_rows));
        choices.extend(others.map(|kernel| (*kernel, geometry)));
        choices.dedup();
        for choice in choices {
            let what = format!("{what}: {} in {} parts", choice.0.name, choice.1.splits);
            let card = on_card(&plan, x, added, choice);
            assert_close(&what, &card, &expected, 3e-5);
        }
    }
}

fn check_conv(shape: ConvShape, len: usize) {
    let ConvShape { input, output, kernel, stride, padding, dilation } = shape;
    let weight = weight([output, input, kernel], input * kernel);
    let total = (len + 2 * padding - dilation * (kernel - 1) - 1) / stride + 1;
    let (x, bias, residual) = (random(&[input, len]), random(&[output]), random(&[output, total]));
    let added = Added { bias: Some(&bias), residual: Some(&residual) };
    let ours = |x: &Tensor, weight: &Tensor| {
        let conv = Conv1d::new(weight, Some(bias.clone()), shape).unwrap();
        conv.forward_add(x, &residual, &Unwatched).unwrap()
    };
    let plan = |weight: &Tensor| Plan::conv(weight, shape).unwrap();
    check(&format!("{shape:?} of {len}"), (&weight, &plan), (&x, added), &ours);
}

#[test]
fn vocoders_convolutions_are_those_of_the_cpu() {
    for (channels, kernel, dilation, len) in [
        (128, 3, 1, 301),
        (128, 7, 3, 130),
        (128, 11, 5, 257),
        (256, 3, 5, 67),
        (256, 11, 1, 64),
        (64, 7, 5, 140),
    ] {
        check_conv(ConvShape::same(channels, channels, kernel, dilation), len);
    }
}

#[test]
fn decoders_convolutions_are_those_of_the_cpu() {
    // Wide, short, and with numbers of channels that fit no tile.
    for (input, output, kernel, len) in
        [(514, 1024, 3, 21), (1090, 512, 3, 33), (512, 64, 1, 9), (80, 512, 7, 18)]
    {
        check_conv(ConvShape::same(input, output, kernel, 1), len);
    }
}

#[test]
fn strided_narrow_and_last_convolutions_are_those_of_the_cpu() {
    let strided = |input, output, stride: usize, padding, len| {
        let shape = ConvShape { input, output, kernel: 2 * stride, stride, padding, dilation: 1 };
        check_conv(shape, len);
    };
    strided(22, 256, 6, 3, 601);
    strided(18, 128, 15, 7, 450);
    strided(18, 64, 3, 1, 300);
    check_conv(ConvShape { input: 1, output: 1, kernel: 3, stride: 2, padding: 1, dilation: 1 }, 47);
    check_conv(ConvShape::same(128, 22, 7, 1), 241);
    check_conv(ConvShape::same(22, 128, 1, 1), 241);
    // A reach that the half precision kernels do not gather at once.
    check_conv(ConvShape { padding: 66, ..ConvShape::same(40, 70, 5, 33) }, 150);
    check_conv(ConvShape { input: 3, output: 5, kernel: 4, stride: 1, padding: 0, dilation: 2 }, 7);
}

#[test]
fn a_layer_without_bias_and_residual_adds_nothing() {
    let shape = ConvShape::same(24, 40, 3, 1);
    let (weight, x) = (weight([40, 24, 3], 72), random(&[24, 50]));
    let added = Added { bias: None, residual: None };
    let ours = |x: &Tensor, weight: &Tensor| {
        Conv1d::new(weight, None, shape).unwrap().forward(x, &Unwatched).unwrap()
    };
    check("bare", (&weight, &|weight| Plan::conv(weight, shape).unwrap()), (&x, added), &ours);
}

#[test]
fn transposed_convolutions_are_those_of_the_cpu() {
    for (input, output, kernel, stride, len) in [
        (128, 64, 20, 10, 13),
        (256, 128, 12, 6, 19),
        (128, 64, 16, 8, 9),
        (128, 64, 11, 5, 22),
        (128, 64, 7, 3, 45),
        (5, 3, 7, 3, 1),
    ] {
        let weight = weight([input, output, kernel], input * 2);
        let (x, bias, padding) = (random(&[input, len]), random(&[output]), (kernel - stride) / 2);
        let added = Added { bias: Some(&bias), residual: None };
        let ours = |x: &Tensor, weight: &Tensor| {
            let conv = ConvTranspose1d::new(weight.clone(), bias.clone(), stride, padding);
            conv.forward(x, &Unwatched).unwrap()
        };
        let plan = |weight: &Tensor| Plan::transposed(weight, stride, padding).unwrap();
        check(&format!("{input} {output} {kernel} {stride}"), (&weight, &plan), (&x, added), &ours);
    }
}

#[test]
fn sums_below_zero_may_be_scaled() {
    let shape = RowShape::looking_ahead(40, 24, 4);
    let (weight, x) = (weight([4, 40, 24], 160).reshape((160, 24)).unwrap(), random(&[31, 40]));
    let plan = Plan::row_conv(&weight, shape).unwrap();
    let run = |slope: f32| {
        let choice = plan.choose(Geometry { slope, ..plan.of_len(31) }, PROCESSORS[0]);
        on_card(&plan, &x, Added { bias: None, residual: None }, choice)
    };
    let plain = Tensor::from_vec(run(1.0), (31, 24), &Device::Cpu).unwrap();
    let ours = activate(&plain, Activation::LeakyRelu(0.01), &Unwatched).unwrap();
    assert_close("leaky", &run(0.01), &ours, 1e-6);
}

#[test]
fn convolutions_of_rows_are_those_of_the_cpu() {
    for (shape, len) in [
        (RowShape::causal(320, 256, 3), 77),
        (RowShape::looking_ahead(512, 512, 4), 30),
        (RowShape::causal(21, 80, 3), 130),
        (RowShape { before: 2, ..RowShape::looking_ahead(33, 9, 5) }, 12),
    ] {
        let RowShape { input, output, kernel, before, after } = shape;
        // The CPU's layer takes columns, and pads both ends alike.
        let turned = weight([output, input, kernel], input * kernel);
        let (x, bias) = (random(&[len, input]), random(&[output]));
        let rows = len + before + after + 1 - kernel;
        let residual = random(&[rows, output]);
        let conv_shape = ConvShape { input, output, kernel, stride: 1, padding: 0, dilation: 1 };
        let ours = |x: &Tensor, weight: &Tensor| {
            let weight = weight.reshape((kernel, input, output)).unwrap().permute((2, 1, 0)).unwrap();
            let conv = Conv1d::new(&weight.contiguous().unwrap(), Some(bias.clone()), conv_shape).unwrap();
            let padded = x.t().unwrap().pad_with_zeros(1, before, after).unwrap().contiguous().unwrap();
            let out = conv.forward(&padded, &Unwatched).unwrap().t().unwrap();
            (out + &residual).unwrap()
        };
        let added = Added { bias: Some(&bias), residual: Some(&residual) };
        let weight = turned.permute((2, 1, 0)).unwrap().contiguous().unwrap();
        let weight = weight.reshape((kernel * input, output)).unwrap();
        let plan = |weight: &Tensor| Plan::row_conv(weight, shape).unwrap();
        check(&format!("{shape:?} of {len}"), (&weight, &plan), (&x, added), &ours);
    }
}

/// The numbers by which kernels know activations.
fn numbered() -> [(Activation<'static>, u32, f32); 9] {
    let all = [
        Activation::Identity,
        Activation::LeakyRelu(0.2),
        Activation::GeluTanh,
        Activation::GeluErf,
        Activation::Silu,
        Activation::Mish,
        Activation::Elu,
        Activation::Tanh,
        Activation::Sigmoid,
    ];
    all.map(|activation| {
        let (code, slope) = super::activation_code(activation).unwrap();
        (activation, code, slope)
    })
}

#[test]
fn activations_are_those_of_the_cpu() {
    let (channels, lens) = (3, [300, 9, 517]);
    let packing = Packing::new(&lens, 6, &Device::Cpu);
    let columns = 3 * packing.pitch();
    let x = (random(&[channels, columns]) * 4.0).unwrap().clamp(-30.0, 30.0).unwrap();
    let alphas = (random(&[channels]).abs().unwrap() + 0.5).unwrap();
    let run = |(code, slope): (u32, f32), alphas: Option<&Tensor>, lens: &[u32]| {
        Input::default()
            .integers(&[channels as u32, packing.pitch() as u32, code])
            .floats(&[slope])
            .tensor(Some(&x))
            .tensor(alphas)
            .integers(lens)
            .run(HOST, &["activate"])
    };
    for (activation, code, slope) in numbered() {
        let ours = activate(&x, activation, &Unwatched).unwrap();
        assert_close("activation", &run((code, slope), None, &[]), &ours, 2e-5);
        let cleared = packing.clear_gaps(&ours).unwrap();
        assert_close(
            "packed activation",
            &run((code, slope), None, &lens.map(|len| len as u32)),
            &cleared,
            2e-5,
        );
    }
    let ours = activate(&x, Activation::Snake(&alphas), &Unwatched).unwrap();
    assert_close("snake", &run((0, 0.0), Some(&alphas), &[]), &ours, 2e-5);
}

#[test]
fn what_follows_a_product_of_rows_is_that_of_the_cpu() {
    let (x, bias, other) = (random(&[7, 300]), random(&[300]), random(&[7, 300]));
    let biased = x.broadcast_add(&bias).unwrap();
    for (activation, code, slope) in numbered() {
        let ours = activate(&biased, activation, &Unwatched).unwrap();
        let input = Input::default().integers(&[7, code]).floats(&[slope]);
        let card = input.tensor(Some(&x)).tensor(Some(&bias)).tensor(None).run(HOST, &["finish_rows"]);
        assert_close("rows", &card, &ours, 2e-5);
    }
    let input = Input::default().integers(&[7, 0]).floats(&[0.0]);
    let card = input.tensor(Some(&x)).tensor(None).tensor(Some(&other)).run(HOST, &["finish_rows"]);
    assert_close("sum of rows", &card, &(&x + &other).unwrap(), 2e-5);
    let packing = Packing::new(&[1, 3], 1, &Device::Cpu);
    let pitch = packing.pitch();
    let clear = random(&[2 * pitch, 33]);
    let input = Input::default()
        .integers(&[2 * pitch as u32, pitch as u32])
        .floats(&[])
        .tensor(Some(&clear))
        .integers(&[1, 3]);
    let cleared = packing.clear_row_gaps(&clear).unwrap();
    assert_close("cleared rows", &input.run(HOST, &["clear_rows"]), &cleared, 1e-9);
    let (x, input) = (rounded(&x), Input::default().integers(&[7, 0]).floats(&[0.0]));
    let card = input.tensor(Some(&x)).tensor(None).tensor(Some(&other)).run(HOST, &["finish_half_rows"]);
    assert_close("sum of half rows", &card, &(&x + other).unwrap(), 2e-5);
    let input = Input::default().integers(&[7, 3]).floats(&[0.0]).tensor(Some(&x)).tensor(Some(&bias));
    let card = input.tensor(None).run(HOST, &["finish_half_rows_to_half"]);
    let ours = activate(&x.broadcast_add(&bias).unwrap(), Activation::GeluErf, &Unwatched).unwrap();
    assert_close("half rows that stay so", &card, &ours, 3e-3);
}

#[test]
fn means_and_upsampling_are_those_of_the_cpu() {
    let parts = [random(&[5, 301]), random(&[5, 301]), random(&[5, 301])];
    let input = || Input::default().integers(&[5, 1]).floats(&[]);
    let mean =
        parts.iter().fold(input(), |input, part| input.tensor(Some(part))).run(HOST, &["mean_of_three"]);
    assert_close("mean", &mean, &mean_of(&parts, &Unwatched).unwrap(), 1e-5);
    let twice = input().tensor(Some(&parts[0])).run(HOST, &["repeat_twice"]);
    assert_close("columns twice", &twice, &repeat_twice(&parts[0], &Unwatched).unwrap(), 1e-9);
    let rows = Input::default().integers(&[5, 301]).floats(&[]);
    let twice = rows.tensor(Some(&parts[0])).run(HOST, &["repeat_twice"]);
    assert_close("rows twice", &twice, &repeat_rows_twice(&parts[0], &Unwatched).unwrap(), 1e-9);
}

#[test]
fn the_depthwise_upsampling_is_that_of_the_cpu() {
    let (weight, bias) = (random(&[4, 1, 3]), random(&[4]));
    let upsample = DepthwiseUpsample::new(weight.clone(), bias.clone());
    for lens in [vec![301], vec![40, 7, 33]] {
        let packing = Packing::new(&lens, 3, &Device::Cpu);
        let doubled = packing.stretched(2, 0);
        // Each sequence ends in zeros, as every layer before it leaves them.
        let x = packing.clear_gaps(&random(&[4, lens.len() * packing.pitch()])).unwrap();
        let ours = doubled.clear_gaps(&upsample.forward(&x, &Unwatched).unwrap()).unwrap();
        let card = Input::default()
            .integers(&[4, doubled.pitch() as u32])
            .floats(&[])
            .tensor(Some(&x))
            .tensor(Some(&weight))
            .tensor(Some(&bias))
            .integers(&doubled.lens().iter().map(|&len| len as u32).collect::<Vec<_>>())
            .run(HOST, &["depthwise_upsample"]);
        assert_close("upsampling", &card, &ours, 1e-5);
    }
}

/// What the rule is for: a long layer takes wide tiles, a short one is spread over the card.
#[test]
fn tiles_fill_the_card() {
    let plan = |shape: ConvShape, len: usize, processors: usize| {
        let plan = Plan::conv(&random(&[shape.output, shape.input, shape.kernel]), shape).unwrap();
        let (kernel, geometry) = plan.choose(plan.of_len(len), processors);
        let (x, y, z) = kernel.grid(&geometry);
        (kernel.name, x * y * z, z)
    };
    let (name, blocks, splits) = plan(ConvShape::same(128, 128, 11, 5), 120_001, 132);
    assert_eq!((name, splits), ("conv_single_wide", 1));
    assert!(blocks > 132);
    // 1024 by 200 numbers are 16 wide tiles, and 64 square ones.
    let (_, blocks, splits) = plan(ConvShape::same(1090, 1024, 3, 1), 200, 132);
    assert!(blocks >= 128 && splits > 1, "{blocks} blocks, {splits} parts");
    let (name, _, _) = plan(ConvShape::same(128, 22, 7, 1), 120_001, 132);
    assert_eq!(name, "conv_single_flat");
}
