//! The kernels of a transformer's step, compiled for the host and run there, against our layers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "kernels/operands.rs"]
mod operands;
#[path = "kernels/runner.rs"]
mod runner;

use candle_core::{DType, Device, Tensor};
use operands::{assert_close, random, values, weights};
use runner::Input;
use stentor_nn::{
    Activation, HEAD, KvCache, KvShape, LayerNorm, Linear, Look, RmsNorm, Rope, RopeScaling, Unwatched,
    activate, append, attend, gated_silu,
};

/// As the kernels have it.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Store,
    Add,
    Gelu,
    Gate,
}

/// What the kernel makes of `x`, with its weights stored as `stored`, in tiles of `tile` rows.
fn product(
    (weight, x, before): (&Tensor, &Tensor, &Tensor),
    (gain, bias): (Option<&Tensor>, Option<&Tensor>),
    (split, then, tile): (usize, Then, usize),
    stored: &str,
) -> Vec<f32> {
    let ((outs, depth), rows) = (weight.dims2().unwrap(), x.dim(0).unwrap());
    let optional = |x: Option<&Tensor>| x.map(values).unwrap_or_default();
    Input::default()
        .floats(&values(weight))
        .floats(&values(x))
        .floats(&optional(gain))
        .floats(&optional(bias))
        .floats(&values(before))
        .floats(&[1e-5])
        .integers(&[rows, depth, outs, split, then as usize, tile].map(|size| size as u32))
        .run("decode.cpp", &["products", stored])
}

/// The same out of our layers.
fn layers(
    (weight, x, before): (&Tensor, &Tensor, &Tensor),
    (gain, bias): (Option<&Tensor>, Option<&Tensor>),
    then: Then,
) -> Vec<f32> {
    let outs = weight.dim(0).unwrap();
    let none = Tensor::zeros(outs, DType::F32, &Device::Cpu).unwrap();
    let normed = gain.map_or(x.clone(), |gain| {
        let norm = RmsNorm::load(&weights(&[("weight", gain)]).root(), gain.dim(0).unwrap(), 1e-5);
        norm.unwrap().forward(x, &Unwatched).unwrap()
    });
    let linear = Linear::new(weight, bias.unwrap_or(&none).clone()).unwrap();
    let sums = linear.forward(&normed, &Unwatched).unwrap();
    values(&match then {
        Then::Store => sums,
        Then::Add => (before + sums).unwrap(),
        Then::Gelu => activate(&sums, Activation::GeluTanh, &Unwatched).unwrap(),
        Then::Gate => gated_silu(&sums, &Unwatched).unwrap(),
    })
}

#[test]
fn products_are_those_of_our_linear_layers_with_what_comes_before_and_after() {
    // Depths and widths that fill blocks, and such that do not.
    for (depth, outs, split) in [(512, 64, 4), (264, 38, 2), (1032, 34, 8), (200, 70, 1)] {
        for then in [Then::Store, Then::Add, Then::Gelu, Then::Gate] {
            let rows = 5;
            let weight = (random(&[outs, depth]) * 0.2).unwrap();
            let (bias, gain) = (random(&[outs]), random(&[depth]));
            let x = (random(&[rows, depth]) * 0.3).unwrap();
            let before = random(&[rows, if then == Then::Gate { outs / 2 } else { outs }]);
            let operands = (&weight, &x, &before);
            for around in [(None, Some(&bias)), (Some(&gain), None)] {
                let expected = layers(operands, around, then);
                for tile in [1, 2, 4, 8] {
                    let card = product(operands, around, (split, then, tile), "f32");
                    assert_close(&card, &expected, 5e-5);
                }
            }
        }
    }
}

#[test]
fn halves_are_widened_before_they_are_multiplied() {
    let (weight, x, before) = (random(&[40, 320]), random(&[3, 320]), random(&[3, 40]));
    let rounded = weight.to_dtype(DType::F16).unwrap().to_dtype(DType::F32).unwrap();
    let expected = layers((&rounded, &x, &before), (None, None), Then::Add);
    for tile in [1, 2, 4, 8] {
        let card = product((&weight, &x, &before), (None, None), (2, Then::Add, tile), "f16");
        assert_close(&card, &expected, 5e-5);
    }
}

#[test]
fn a_row_of_a_product_is_the_same_to_the_bit_whatever_the_tile_and_the_rows_beside_it() {
    let (weight, x, gain, before) = (random(&[48, 264]), random(&[7, 264]), random(&[264]), random(&[7, 48]));
    let around = (Some(&gain), None);
    let whole = product((&weight, &x, &before), around, (4, Then::Add, 8), "f16");
    for tile in [1, 2, 4, 8] {
        let together = product((&weight, &x, &before), around, (4, Then::Add, tile), "f16");
        assert!(together == whole, "in tiles of {tile} rows");
        for row in [0, 6] {
            let [x, before] = [&x, &before].map(|x| x.narrow(0, row, 1).unwrap());
            let alone = product((&weight, &x, &before), around, (4, Then::Add, tile), "f16");
            assert!(alone == whole[row * 48..][..48], "row {row} in tiles of {tile}");
        }
    }
}

#[test]
fn the_layer_norm_is_that_of_the_cpu() {
    let (gain, shift) = (random(&[200]), random(&[200]));
    let norm = LayerNorm::load(
        &weights(&[("weight", &gain), ("bias", &shift)]).root(),
        ["weight", "bias"],
        200,
        1e-5,
    );
    let x = (random(&[3, 200]) + 9.0).unwrap();
    let ours = norm.unwrap().forward(&x, &Unwatched).unwrap();
    let input = Input::default().floats(&values(&x)).floats(&values(&gain)).floats(&values(&shift));
    assert_close(&input.floats(&[1e-5]).run("decode.cpp", &["norm", "f32"]), &values(&ours), 2e-5);
}

const HEADS: usize = 3;
const WIDTH: usize = HEADS * HEAD;
const LAYERS: usize = 2;
/// The layer that is filled; nothing must be written elsewhere.
const LAYER: usize = 1;
const THETA: f32 = 10_000.0;
const POSITIONS: usize = 700;

/// Cosines and sines by position.
fn tables() -> [Vec<f32>; 2] {
    let angle = |index: usize| {
        let pair = (index % (HEAD / 2)) as f64 / (HEAD / 2) as f64;
        let frequency = f64::from(THETA).powf(-pair) as f32;
        f64::from((index / (HEAD / 2)) as f32 * frequency)
    };
    let table = |function: fn(f64) -> f64| {
        (0..POSITIONS * HEAD / 2).map(|index| function(angle(index)) as f32).collect()
    };
    [table(f64::cos), table(f64::sin)]
}

/// A cache on the CPU and what a card holds of it.
struct Both {
    cache: KvCache,
    rows: usize,
    capacity: usize,
    store: Vec<f32>,
    /// Where the text is.
    text: std::ops::Range<usize>,
}

impl Both {
    /// `len` positions of `rows` rows with room for two more.
    fn new(rows: usize, len: usize, rope: Option<&Rope>) -> Self {
        let capacity = len + 2;
        let shape = KvShape { layers: LAYERS, heads: HEADS, dtype: DType::F32 };
        let mut cache = KvCache::new(shape, rows, capacity, &Device::Cpu).unwrap();
        let mut store = vec![7.5; LAYERS * 2 * rows * capacity * WIDTH];
        if len > 0 {
            let qkv = random(&[rows * len, 3 * WIDTH]);
            append(&mut [&mut cache], LAYER, &qkv, rope, &Unwatched).unwrap();
            cache.advance(len);
            let [cos, sin] = tables();
            for (index, position) in values(&qkv).chunks_exact(3 * WIDTH).enumerate() {
                let (row, at) = (index / len, index % len);
                for number in 0..WIDTH {
                    let (head, own) = (number / HEAD, number % HEAD);
                    let pair = own % (HEAD / 2);
                    let key = &position[WIDTH + head * HEAD..][..HEAD];
                    let turn = at * HEAD / 2 + pair;
                    let key = match (rope, own < HEAD / 2) {
                        (None, _) => key[own],
                        (_, true) => key[own] * cos[turn] - key[own + HEAD / 2] * sin[turn],
                        (_, false) => key[own] * cos[turn] + key[own - HEAD / 2] * sin[turn],
                    };
                    let to = |part: usize| {
                        (((2 * LAYER + part) * rows + row) * HEADS + head) * capacity * HEAD + at * HEAD + own
                    };
                    store[to(0)] = key;
                    store[to(1)] = position[2 * WIDTH + number];
                }
            }
        }
        Self { cache, rows, capacity, store, text: len / 3..len / 3 + len / 2 }
    }

    /// Rows as a card is told of them, the store beginning at `start`.
    fn places(&self, start: usize) -> Vec<u32> {
        let row = |row: usize| {
            let part = self.rows * self.capacity * WIDTH;
            [start + row * self.capacity * WIDTH, part, self.capacity, self.cache.len()].map(|n| n as u32)
        };
        (0..self.rows).flat_map(row).collect()
    }
}

/// What attention and look give of one more position, on the card and on the CPU.
fn attention(all: &mut [Both], rope: Option<&Rope>, stored: &str) -> [Vec<f32>; 2] {
    let lens: Vec<usize> = all.iter().map(|both| both.cache.len()).collect();
    let rows: usize = all.iter().map(|both| both.rows).sum();
    let qkv = random(&[rows, 3 * WIDTH]);
    let mut caches: Vec<&mut KvCache> = all.iter_mut().map(|both| &mut both.cache).collect();
    let queries = append(&mut caches, LAYER, &qkv, rope, &Unwatched).unwrap();
    let caches: Vec<&KvCache> = all.iter().map(|both| &both.cache).collect();
    let mut ours = values(&attend(&caches, LAYER, &queries, &Unwatched).unwrap());
    let (mut places, mut store, mut watched, mut stride) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let list = [2, 0];
    let mut row = 0;
    for both in all.iter() {
        places.extend(both.places(store.len()));
        store.extend_from_slice(&both.store);
        watched.extend([row, both.text.start, both.text.len(), stride].map(|n| n as u32));
        let look = Look { layer: LAYER, heads: &list, positions: both.text.clone(), new: 1 };
        if !both.text.is_empty() {
            let seen = both.cache.look(&queries.narrow(0, row, 1).unwrap(), &look).unwrap();
            ours.extend(values(&(seen * 0.5).unwrap()));
        }
        stride += both.text.len();
        row += both.rows;
    }
    // A row that fills up a batch.
    places.extend([u32::MAX, 0, 0, 0]);
    watched.extend([0; 4]);
    let [cos, sin] = if rope.is_some() { tables() } else { [vec![], vec![]] };
    let padded = Tensor::cat(&[&qkv, &random(&[1, 3 * WIDTH])], 0).unwrap();
    let mut card = Input::default()
        .floats(&values(&padded))
        .floats(&store)
        .integers(&places)
        .floats(&cos)
        .floats(&sin)
        .integers(&watched)
        .integers(&list.map(|head| head as u32))
        .integers(&[HEADS, LAYER, stride].map(|n| n as u32))
        .run("decode.cpp", &["attention", stored]);
    let kept = card.split_off((rows + 1) * WIDTH + stride);
    assert!(card.drain(rows * WIDTH..(rows + 1) * WIDTH).all(f32::is_nan), "no row is there");
    assert_kept(all, &lens, &store, &kept);
    [card, ours]
}

/// One position was added to each row, in one layer; the rest of the store is as it was.
fn assert_kept(all: &[Both], lens: &[usize], before: &[f32], after: &[f32]) {
    let mut changed = 0;
    for (a, b) in before.iter().zip(after) {
        changed += usize::from((a - b).abs() > 1e-2);
    }
    let added = 2 * WIDTH * all.iter().map(|both| both.rows).sum::<usize>();
    // The store's stuffing is nothing that a key or a value is likely to be.
    assert_eq!(changed, added, "caches of {lens:?}");
}

#[test]
fn attention_over_caches_of_different_lengths_is_that_of_the_cpu() {
    let scaling = RopeScaling { factor: 1.0, low_frequency: 1.0, high_frequency: 4.0, original: 64.0 };
    let rope = Rope::new(f64::from(THETA), scaling, POSITIONS);
    for rope in [Some(&rope), None] {
        for (stored, tolerance) in [("f32", 2e-5), ("f16", 2e-3)] {
            // None at all; fewer than blocks share; such that some blocks have none; more than are read at once.
            let sizes = [(2, 0), (1, 5), (2, 129), (1, 655)];
            let mut all: Vec<Both> = sizes.iter().map(|&(rows, len)| Both::new(rows, len, rope)).collect();
            let [card, ours] = attention(&mut all, rope, stored);
            assert_close(&card, &ours, tolerance);
        }
    }
}

#[test]
fn scores_far_apart_do_not_overflow() {
    let mut all = [Both::new(1, 40, None)];
    // But for the stuffing, which tells what was written.
    all[0].store.iter_mut().filter(|x| (**x - 7.5).abs() > 1e-6).for_each(|x| *x *= 60.0);
    // The CPU's cache is not scaled: only that all is finite can be seen here.
    let [card, _] = attention(&mut all, None, "f32");
    assert!(card.iter().all(|x| x.is_finite()));
}
