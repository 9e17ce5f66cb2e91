//! The kernels of attention, compiled for the host and run there, against our layers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/operands.rs"]
#[expect(dead_code, reason = "other tests use the rest")]
mod operands;
#[path = "kernels/runner.rs"]
mod runner;

use candle_core::{DType, Device, Tensor};
use operands::{assert_close, random, values};
use runner::Input;
use stentor_nn::{
    Packing, RelativePositions, Unwatched, packed_attention, relative_attention, self_attention_of_stretches,
};

const HEADS: usize = 2;
/// Numbers of sequences that fill no tile, or one, or leave one row for the next.
const LENS: [&[usize]; 8] = [&[1], &[2], &[63], &[64], &[65], &[200], &[65, 1, 200, 64], &[2, 63, 130]];
const KERNELS: [(&str, usize, f32); 3] =
    [("attend_single_64", 64, 5e-6), ("attend_single_32", 32, 5e-6), ("attend_half_64", 64, 2e-3)];

/// Sequences of queries, keys and values side by side, whose scores differ by some `loudness`.
fn sequences(lens: &[usize], width: usize, loudness: f64) -> Vec<Tensor> {
    lens.iter().map(|&len| (random(&[len, 3 * HEADS * width]) * loudness).unwrap()).collect()
}

/// As they lie in one tensor, with what is not a number between them.
fn packed(packing: &Packing, sequences: &[Tensor]) -> Tensor {
    let packed = packing.pack_rows(sequences).unwrap();
    (&packed / packing.clear_row_gaps(&packed.ones_like().unwrap()).unwrap()).unwrap()
}

fn rounded(x: &Tensor) -> Tensor {
    x.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap()
}

/// What a kernel makes of packed sequences.
fn on_card(kernel: &str, width: usize, packing: &Packing, qkv: &Tensor, more: &[&Tensor]) -> Tensor {
    let lens = if packing.count() > 1 { packing.lens() } else { &[] };
    let sizes = [HEADS, width, packing.count(), packing.pitch()];
    run(kernel, &[&sizes, &[], lens], qkv, more)
}

/// `given` are sizes, and where sequences begin and how long they are, where that is not to be seen from the sizes.
fn run(kernel: &str, given: &[&[usize]; 3], qkv: &Tensor, more: &[&Tensor]) -> Tensor {
    let width = given[0][1];
    let small = |numbers: &[usize]| numbers.iter().map(|&number| number as u32).collect::<Vec<_>>();
    let input = given.iter().fold(Input::default(), |input, numbers| input.integers(&small(numbers)));
    let input = input.floats(&values(qkv));
    let operand = |at: usize| more.get(at).map(|x| values(x)).unwrap_or_default();
    let input = (0..3).fold(input, |input, at| input.floats(&operand(at)));
    let out = input.run("attention.cpp", &[kernel]);
    Tensor::from_vec(out, (qkv.dims2().unwrap().0, HEADS * width), &Device::Cpu).unwrap()
}

/// Sequences come out as those of `ours`, and what is nobody's as zeros.
#[track_caller]
fn assert_like(card: &Tensor, ours: &Tensor, packing: &Packing, tolerance: f32) {
    let ours = packing.unpack_rows(ours).unwrap();
    assert_close(&values(card), &values(&packing.pack_rows(&ours).unwrap()), tolerance);
}

#[test]
fn attention_of_packed_sequences_is_that_of_the_cpu() {
    for (kernel, width, tolerance) in KERNELS {
        for lens in LENS {
            let packing = Packing::new(lens, 3, &Device::Cpu);
            let mut all = sequences(lens, width, 2.0);
            if kernel == "attend_half_64" {
                all = all.iter().map(rounded).collect();
            }
            let qkv = packed(&packing, &all);
            let ours = packed_attention(&qkv, HEADS, &packing, &Unwatched).unwrap();
            assert_like(&on_card(kernel, width, &packing, &qkv, &[]), &ours, &packing, tolerance);
        }
    }
}

#[test]
fn a_sequence_is_the_same_to_the_bit_whatever_is_beside_it() {
    for (kernel, width, _) in KERNELS {
        let lens = [65, 3, 190];
        let packing = Packing::new(&lens, 5, &Device::Cpu);
        let all = sequences(&lens, width, 2.0);
        let together = on_card(kernel, width, &packing, &packed(&packing, &all), &[]);
        for (together, qkv) in packing.unpack_rows(&together).unwrap().iter().zip(&all) {
            let alone = Packing::alone(qkv.dims2().unwrap().0);
            assert!(values(&on_card(kernel, width, &alone, qkv, &[])) == values(together), "{kernel}");
        }
    }
}

#[test]
fn attention_of_stretches_is_that_of_the_cpu() {
    for (kernel, width, tolerance) in &KERNELS[..2] {
        let lens = [65, 1, 130, 64];
        let qkv = random(&[260, 3 * HEADS * width]);
        let part = |index: usize| qkv.narrow(1, index * HEADS * width, HEADS * width).unwrap();
        let parts = [part(0), part(1), part(2)].map(|x| x.contiguous().unwrap());
        let ours = self_attention_of_stretches(parts.each_ref(), HEADS, &lens, &Unwatched).unwrap();
        let card = run(kernel, &[&[HEADS, *width, 4, 130], &[0, 65, 66, 196], &lens], &qkv, &[]);
        assert_close(&values(&card), &values(&ours), *tolerance);
    }
}

/// Scores of some hundreds, of which an exponential would be infinite, and their largest in each of the tiles once.
#[test]
fn scores_whose_exponentials_overflow_are_weighed_rightly() {
    for (kernel, width, tolerance) in KERNELS {
        for at in [0, 70, 199] {
            let mut qkv = sequences(&[200], width, 10.0).remove(0);
            let louder = Tensor::from_vec(
                (0..200).map(|row| if row == at { 3f32 } else { 1.0 }).collect::<Vec<_>>(),
                (200, 1),
                &Device::Cpu,
            );
            qkv = rounded(&qkv.broadcast_mul(&louder.unwrap()).unwrap());
            let alone = Packing::alone(200);
            let ours = packed_attention(&qkv, HEADS, &alone, &Unwatched).unwrap();
            assert_like(&on_card(kernel, width, &alone, &qkv, &[]), &ours, &alone, 20.0 * tolerance);
        }
    }
}

#[test]
fn relative_positions_are_those_of_the_cpu() {
    let width = 64;
    for lens in LENS {
        let packing = Packing::new(lens, 3, &Device::Cpu);
        let qkv = packed(&packing, &sequences(lens, width, 1.0));
        let distances = random(&[2 * packing.pitch() - 1, HEADS * width]);
        let [key_bias, distance_bias] = [(); 2].map(|()| random(&[HEADS * width]));
        let positions =
            RelativePositions { distances: &distances, key_bias: &key_bias, distance_bias: &distance_bias };
        let ours = relative_attention(&qkv, HEADS, (positions, &packing), &Unwatched).unwrap();
        let more = [&distances, &key_bias, &distance_bias];
        let card = on_card("attend_relative_64", width, &packing, &qkv, &more);
        assert_like(&card, &ours, &packing, 1e-5);
    }
}
