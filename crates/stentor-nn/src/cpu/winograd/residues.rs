//! Rows of numbers parted into their residues modulo a number, and joined again: what the vectors of tiles need lies in line then.

use crate::cpu::{
    simd::widest,
    tiles::{room, written},
    vector::{LANES, Vector},
};
use std::mem::MaybeUninit;

/// Numbers that are joined at once.
const FOURS: usize = 4 * LANES;

/// [`LANES`] numbers from a place on.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
pub(super) unsafe fn load<V: Vector>(from: &[f32], at: usize) -> V {
    let from = from[at..at + LANES].first_chunk().unwrap_or(&[0.0; LANES]);
    // SAFETY: the caller's promise.
    unsafe { V::load(from) }
}

/// Writes them to a place.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
pub(super) unsafe fn store<V: Vector>(vector: V, to: &mut [f32], at: usize) {
    // SAFETY: the caller's promise; the place is inside of the slice.
    unsafe { vector.store(to[at..at + LANES].as_mut_ptr().cast()) }
}

/// What the sums of a row are added to.
#[derive(Clone, Copy)]
pub(super) struct Base<'a> {
    pub(super) bias: f32,
    pub(super) residual: Option<&'a [f32]>,
}

impl Base<'_> {
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    #[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
    unsafe fn load<V: Vector>(self, at: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let bias = V::splat(self.bias);
            if let Some(residual) = self.residual { load::<V>(residual, at).add(bias) } else { bias }
        }
    }
}

/// Parts a row into its residues modulo four, which lie one after the other. Both have the same length, a multiple of [`FOURS`].
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn part_by<V: Vector>(row: &[f32], residues: &mut [f32]) {
    let len = residues.len() / 4;
    for index in 0..len / LANES {
        let (from, at) = (index * FOURS, index * LANES);
        // SAFETY: the caller's promise.
        unsafe {
            let [ac, bd] = load::<V>(row, from).unzip(load(row, from + LANES));
            let [more_ac, more_bd] = load::<V>(row, from + 2 * LANES).unzip(load(row, from + 3 * LANES));
            let ([a, c], [b, d]) = (ac.unzip(more_ac), bd.unzip(more_bd));
            store(a, residues, at);
            store(b, residues, len + at);
            store(c, residues, 2 * len + at);
            store(d, residues, 3 * len + at);
        }
    }
}

/// Four rows to one that takes one number of each in turn, on top of `base`. All of `out` is written; the rows are as long as if
/// `out` were a multiple of [`FOURS`].
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn join_by<V: Vector>(rows: [&[f32]; 4], base: Base<'_>, out: &mut [MaybeUninit<f32>]) {
    // SAFETY: the caller's promise; places are inside of the slices.
    unsafe {
        let whole = out.len() / FOURS * FOURS;
        for to in (0..whole).step_by(FOURS) {
            let [x, y, z, w] = joined::<V>(rows, to);
            x.add(base.load(to)).store(out[to..to + FOURS].as_mut_ptr().cast());
            y.add(base.load(to + LANES)).store(out[to + LANES..to + FOURS].as_mut_ptr().cast());
            z.add(base.load(to + 2 * LANES)).store(out[to + 2 * LANES..to + FOURS].as_mut_ptr().cast());
            w.add(base.load(to + 3 * LANES)).store(out[to + 3 * LANES..to + FOURS].as_mut_ptr().cast());
        }
        if whole < out.len() {
            let mut last = [[0.0; LANES]; 4];
            for (joined, last) in joined::<V>(rows, whole).into_iter().zip(&mut last) {
                joined.store(last);
            }
            for (place, (out, joined)) in out[whole..].iter_mut().zip(last.as_flattened()).enumerate() {
                let residual = base.residual.map_or(0.0, |residual| residual[whole + place]);
                out.write(joined + (residual + base.bias));
            }
        }
    }
}

/// [`FOURS`] numbers of four rows, one of each in turn, for place `to` of what they are joined to.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn joined<V: Vector>([a, b, c, d]: [&[f32]; 4], to: usize) -> [V; 4] {
    let at = to / 4;
    // SAFETY: the caller's promise.
    unsafe {
        let [ac, more_ac] = load::<V>(a, at).zip(load(c, at));
        let [bd, more_bd] = load::<V>(b, at).zip(load(d, at));
        let ([x, y], [z, w]) = (ac.zip(bd), more_ac.zip(more_bd));
        [x, y, z, w]
    }
}

widest! { fn part_widest(row: &[f32], residues: &mut [f32]) => part_by }
widest! { fn join_widest(rows: [&[f32]; 4], base: Base<'_>, out: &mut [MaybeUninit<f32>]) => join_by }

/// [`part_by`] with the widest instructions.
pub(super) fn part(row: &[f32], residues: &mut [f32]) {
    #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
    // SAFETY: it asks for nothing else.
    unsafe {
        part_widest(row, residues);
    }
}

/// [`join_by`] with the widest instructions; returns `out`.
pub(super) fn join<'a>(rows: [&[f32]; 4], base: Base<'_>, out: &'a mut [MaybeUninit<f32>]) -> &'a mut [f32] {
    #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
    // SAFETY: it asks for nothing else, and all of `out` is written.
    unsafe {
        join_widest(rows, base, out);
        written(out)
    }
}

/// [`join`] on top of nothing, to numbers.
pub(super) fn interleave(rows: [&[f32]; 4], out: &mut [f32]) {
    #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
    // SAFETY: it asks for nothing else, and what is written are numbers.
    unsafe {
        join_widest(rows, Base { bias: 0.0, residual: None }, room(out));
    }
}
