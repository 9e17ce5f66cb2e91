//! Convolutions of stride 1 with half to a fifth of the multiplications (Winograd, "Arithmetic complexity of computations", 1980; F(4, 3)
//! as in Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, in one dimension).
//!
//! Some taps and four outputs are the product of two polynomials, which its values at as many points as it has numbers determine:
//! with three taps six products take the place of twelve, with four seven that of sixteen. More taps are segments of
//! four, and those are to two or four times four outputs what taps are to outputs: the same once more, so eleven taps and sixteen outputs are
//! 6 times 7 products in place of 176.
//!
//! The outputs of a tile lie `dilation` apart, and tiles begin at every so manieth position as they have outputs. For an odd dilation
//! they cover each position once, and what a tile's vectors need lies in line once the input is parted into its residues modulo that number.

mod residues;
mod toom;

use self::residues::{Base, interleave, join, load, part, store};
use super::{
    block::{COLS, MOST_ROWS, Right, Sums, blocks},
    scratch::{LINE, with_scratch},
    simd::widest,
    tiles::{Mat, Tile, TileSize, room},
    vector::{LANES, Vector, fetch},
};
use crate::deferred::Finish;
use std::{mem::MaybeUninit, ops::Range};

/// Taps of a segment unless it is the only one, and the outputs that it is multiplied for.
const SEGMENT: usize = 4;
/// Three segments.
pub(crate) const MOST_TAPS: usize = 3 * SEGMENT;
/// Outputs of a tile, at most; a multiple of those of any.
pub(crate) const MOST_OUTPUTS: usize = SEGMENT * SEGMENT;
/// Inputs of a tile, at most.
const MOST_STEPS: usize = MOST_OUTPUTS + MOST_TAPS - 1;
/// Numbers of the transformed input of tiles that are computed at once, at most, if it is not a panel's: they should stay in the
/// second-level cache.
const TRANSFORMED: usize = 360 << 10;
/// Panels of tiles that are computed at once, at most.
const PANELS_AT_ONCE: usize = 3;
/// Numbers of any value after a line of outputs, which vectors may read.
const BESIDE: usize = LINE;

/// Writes what a channel of the input, parted into residues, is at each point of so many tiles (the second of `to`); the line of a point begins
/// so many numbers after that of the one before (the third).
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn transform_by<V: Vector>(residues: &[f32], shape: Shape, to: (&mut [f32], usize, usize)) {
    // SAFETY: the caller's promise.
    unsafe {
        match (shape.inner(), shape.outer()) {
            (6, _) => transform_of::<V, 6, 1>(residues, shape, to),
            (_, 1) => transform_of::<V, 7, 1>(residues, shape, to),
            (_, 5) => transform_of::<V, 7, 5>(residues, shape, to),
            _ => transform_of::<V, 7, 6>(residues, shape, to),
        }
    }
}

/// [`transform_by`] for `I` points of a segment and `O` of segments.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn transform_of<V: Vector, const I: usize, const O: usize>(
    residues: &[f32],
    shape: Shape,
    (to, tiles, apart): (&mut [f32], usize, usize),
) {
    let places = shape.places(residues.len() / shape.outputs());
    for at in (0..tiles).step_by(LANES) {
        let start = at / COLS * shape.input * COLS + at % COLS;
        // SAFETY: the caller's promise.
        unsafe {
            let mut blocks = [[V::splat(0.0); I]; O];
            for (block, x) in blocks.iter_mut().enumerate() {
                for (step, x) in x.iter_mut().enumerate() {
                    *x = load(residues, places[SEGMENT * block + step] + at);
                }
                toom::to_points(x);
            }
            for point in 0..I {
                let mut x = [V::splat(0.0); O];
                for (x, block) in x.iter_mut().zip(&blocks) {
                    *x = block[point];
                }
                toom::to_points(&mut x);
                for (block, x) in x.into_iter().enumerate() {
                    store(x, to, (I * block + point) * apart + start);
                }
            }
        }
    }
}

widest! { fn transform(residues: &[f32], shape: Shape, to: (&mut [f32], usize, usize)) => transform_by }

/// The outputs of some rows out of their products at each point, at columns from `at` on; a row of `out` has `stride` numbers for each
/// output of a tile.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn outputs_by<V: Vector>(
    products: &[Sums],
    shape: Shape,
    out: &mut [f32],
    (at, stride): (usize, usize),
) {
    let to = (at, stride);
    // SAFETY: the caller's promise.
    unsafe {
        match (shape.inner(), shape.outer()) {
            (6, _) => outputs_of::<V, 6, 1, 1>(products, out, to),
            (_, 1) => outputs_of::<V, 7, 1, 1>(products, out, to),
            (_, 5) => outputs_of::<V, 7, 5, 4>(products, out, to),
            _ => outputs_of::<V, 7, 6, 4>(products, out, to),
        }
    }
}

/// [`outputs_by`] for `I` points of a segment, `O` of segments and `M` times four outputs.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn outputs_of<V: Vector, const I: usize, const O: usize, const M: usize>(
    products: &[Sums],
    out: &mut [f32],
    (at, stride): (usize, usize),
) {
    let products = products.as_chunks::<I>().0;
    for (row, out) in out.chunks_exact_mut(M * SEGMENT * stride).enumerate() {
        for part in 0..COLS / LANES {
            // SAFETY: the caller's promise.
            unsafe {
                let mut blocks = [[V::splat(0.0); SEGMENT]; O];
                for (block, products) in blocks.iter_mut().zip(products) {
                    let mut x = [V::splat(0.0); I];
                    for (x, sums) in x.iter_mut().zip(products) {
                        *x = V::load(&sums[COLS / LANES * row + part]);
                    }
                    *block = toom::outputs(&x);
                }
                for step in 0..SEGMENT {
                    let mut x = [V::splat(0.0); O];
                    for (x, block) in x.iter_mut().zip(&blocks) {
                        *x = block[step];
                    }
                    for (block, y) in toom::outputs::<V, M>(&x).into_iter().enumerate() {
                        store(y, out, (SEGMENT * block + step) * stride + at + part * LANES);
                    }
                }
            }
        }
    }
}

widest! {
    fn outputs(products: &[Sums], shape: Shape, out: &mut [f32], to: (usize, usize)) => outputs_by
}

/// The geometry of such a convolution: its dilation is odd, its kernel has 3 to [`MOST_TAPS`] taps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

impl Shape {
    /// Taps of a segment.
    fn taps(self) -> usize {
        self.kernel.min(SEGMENT)
    }

    fn segments(self) -> usize {
        self.kernel.div_ceil(SEGMENT)
    }

    /// How many times four outputs a tile has.
    fn blocks(self) -> usize {
        if self.segments() == 1 { 1 } else { SEGMENT }
    }

    /// Points of a segment.
    fn inner(self) -> usize {
        self.taps() + SEGMENT - 1
    }

    /// Points of segments.
    fn outer(self) -> usize {
        self.segments() + self.blocks() - 1
    }

    fn points(self) -> usize {
        self.inner() * self.outer()
    }

    /// Outputs of a tile.
    fn outputs(self) -> usize {
        SEGMENT * self.blocks()
    }

    /// Inputs of a tile.
    fn steps(self) -> usize {
        self.inner() + SEGMENT * (self.outer() - 1)
    }

    /// Where the position that is `steps` dilations behind a tile's first lies: its residue, and the distance in it.
    fn place(self, steps: usize) -> (usize, usize) {
        (steps * self.dilation % self.outputs(), steps * self.dilation / self.outputs())
    }

    /// How many tiles behind its own a tile's outputs reach.
    fn behind(self) -> usize {
        self.place(self.outputs() - 1).1
    }

    /// Panels of tiles that are computed at once.
    fn panels(self) -> usize {
        (TRANSFORMED / (self.points() * self.input) / COLS).clamp(1, PANELS_AT_ONCE)
    }

    /// Where each of a tile's inputs begins, in residues of `stride` numbers as [`copy_near`] parts them.
    fn places(self, stride: usize) -> [usize; MOST_STEPS] {
        let mut places = [0; MOST_STEPS];
        for (step, place) in places.iter_mut().enumerate().take(self.steps()) {
            let (residue, distance) = self.place(step);
            *place = self.index(residue) * stride + distance;
        }
        places
    }

    /// Where the outputs of each residue begin, in lines of `stride` numbers for one output of all tiles: they are as far behind their
    /// tiles as those before the first column.
    fn starts(self, stride: usize) -> [usize; MOST_OUTPUTS] {
        let mut starts = [0; MOST_OUTPUTS];
        for output in 0..self.outputs() {
            let (residue, distance) = self.place(output);
            starts[self.index(residue)] = output * stride + self.behind() - distance;
        }
        starts
    }

    /// Where a residue is among all: they are the residues modulo four of residues modulo four.
    fn index(self, residue: usize) -> usize {
        residue % SEGMENT * self.blocks() + residue / SEGMENT
    }
}

/// The weights of a convolution at each point. Outputs are parted into groups of [`MOST_ROWS`], with zeros at the end, and lie in
/// the order in which they are multiplied: a cache fetches ahead what lies in line.
#[derive(Debug)]
pub(crate) struct Winograd {
    shape: Shape,
    /// `(group, point, input, MOST_ROWS)`.
    points: Vec<f32>,
}

/// What a tile needs beside the weights.
pub(crate) struct Input<'a> {
    /// `(input, len)`.
    pub(crate) x: &'a [f32],
    pub(crate) len: usize,
    /// What its numbers are to go through before.
    pub(crate) finish: Option<&'a Finish<'a>>,
    /// `(output)`; zeros if there is none.
    pub(crate) bias: Option<&'a [f32]>,
    /// What the convolution is added to, and its length.
    pub(crate) residual: Option<(&'a [f32], usize)>,
}

impl<'a> Input<'a> {
    /// What is below a row's columns.
    fn base(&self, row: usize, cols: &Range<usize>) -> Base<'a> {
        let below = |(residual, len): (&'a [f32], usize)| &residual[row * len..][cols.clone()];
        Base { bias: self.bias.map_or(0.0, |bias| bias[row]), residual: self.residual.map(below) }
    }
}

/// The input of some tiles at each point: `panels` one after the other, of `depth` channels and [`COLS`] tiles. What is at a point begins
/// `apart` numbers after what is at the one before.
struct AtPoints<'a> {
    data: &'a [f32],
    depth: usize,
    panels: usize,
    apart: usize,
}

impl<'a> AtPoints<'a> {
    /// A panel at a point, if there is one.
    fn right(&self, point: usize, panel: usize) -> Option<Right<'a, f32>> {
        let (depth, stride) = (self.depth, COLS);
        let data = self.data.get(point * self.apart + panel * depth * COLS..)?;
        let right = Right { data, panels: 1, next: 0, segments: 1, shift: 0, depth, stride };
        (right.reach() <= data.len()).then_some(right)
    }
}

/// The products of a group of rows and a panel at each point. `weights` are `(point, depth, MOST_ROWS)`.
///
/// # Safety
/// The machine has the instructions of `V`, and `weights` and `x` have as many points as there are products.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn multiply_points_by<V: Vector>(
    weights: &[f32],
    x: &AtPoints<'_>,
    panel: usize,
    products: &mut [Sums],
) {
    let weights = weights.chunks_exact(x.depth * MOST_ROWS);
    for (point, (sums, weights)) in products.iter_mut().zip(weights).enumerate() {
        let Some(right) = x.right(point, panel) else { return };
        // The next point's lines are nowhere near where this one's end.
        if let Some(next) = x.right(point + 1, panel) {
            next.fetch();
        }
        let mut done = 0;
        while done < MOST_ROWS {
            let lhs = Mat { data: &weights[done..], row_stride: 1, col_stride: MOST_ROWS };
            let sums = &mut sums[COLS / LANES * done..];
            // SAFETY: the caller's promise; no block has more rows than are left.
            done += unsafe { blocks::<V>(lhs, MOST_ROWS - done, &right, sums).0 };
        }
    }
}

widest! {
    fn multiply_points(weights: &[f32], x: &AtPoints<'_>, panel: usize, products: &mut [Sums]) => multiply_points_by
}

impl Winograd {
    /// Out of `(output, input, kernel)`.
    pub(crate) fn new(weight: &[f32], shape: Shape) -> Self {
        let Shape { input, output, kernel, dilation, .. } = shape;
        assert!(dilation % 2 == 1 && (3..=MOST_TAPS).contains(&kernel), "no such convolution: {shape:?}");
        let (inner, outer) = (toom::of_taps(shape.taps(), SEGMENT), of_segments(shape));
        let of_group = shape.points() * input * MOST_ROWS;
        let mut points = vec![0.0; output.div_ceil(MOST_ROWS) * of_group];
        let mut taps = vec![0.0; shape.segments() * shape.taps() * input];
        let mut sums = vec![0.0; (shape.taps() + 1) * input];
        for (row, kernels) in weight.chunks_exact(input * kernel).enumerate() {
            for (tap, taps) in taps.chunks_exact_mut(input).enumerate().take(kernel) {
                let kernels = kernels.iter().skip(tap).step_by(kernel);
                taps.iter_mut().zip(kernels).for_each(|(to, tap)| *to = f64::from(*tap));
            }
            let mut lines = points[row / MOST_ROWS * of_group..].chunks_exact_mut(input * MOST_ROWS);
            let (at_point, sums) = sums.split_at_mut(input);
            for of_segments in &outer {
                // The segments' taps come together, then the taps.
                add_up(sums, &taps, of_segments);
                for (of_taps, line) in inner.iter().zip(&mut lines) {
                    add_up(at_point, sums, of_taps);
                    let to = line.iter_mut().skip(row % MOST_ROWS).step_by(MOST_ROWS);
                    to.zip(&*at_point).for_each(|(to, x)| *to = *x as f32);
                }
            }
        }
        Self { shape, points }
    }

    /// Columns before or after an output that are seen with it, at most: all that its tile sees.
    pub(crate) fn reach(&self) -> usize {
        let Shape { padding, dilation, .. } = self.shape;
        let before = (self.shape.outputs() - 1) * dilation + padding;
        before.max(((self.shape.steps() - 1) * dilation).saturating_sub(padding))
    }

    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.points.as_slice())
    }

    /// The grid that [`Winograd::fill`] wants.
    pub(crate) fn tile(&self) -> TileSize {
        let tiles = self.shape.panels() * COLS - self.shape.behind();
        TileSize { rows: self.shape.output, cols: self.shape.outputs() * tiles }
    }

    /// Computes the tile, whose first column is a multiple of a tile's outputs.
    pub(crate) fn fill(&self, tile: &mut Tile<'_>, input: &Input<'_>) {
        let (shape, channels) = (self.shape, self.shape.input);
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let panels = (cols.len().div_ceil(shape.outputs()) + shape.behind()).div_ceil(COLS);
        // Some lines after each point: what is written together should not meet in one set of a cache.
        let apart = channels * panels * COLS + 3 * LINE;
        let seen =
            shape.outputs() * (panels * COLS + shape.place(shape.steps() - 1).1).next_multiple_of(LINE);
        let sums = shape.outputs() * (panels * COLS + BESIDE);
        let sizes = [3 * seen, shape.points() * apart, MOST_ROWS * sums, sums];
        with_scratch(sizes.iter().sum(), |scratch| {
            let (near, scratch) = scratch.split_at_mut(sizes[0]);
            let (data, scratch) = scratch.split_at_mut(sizes[1]);
            let (out, joined) = scratch.split_at_mut(sizes[2]);
            let first = cols.start as isize - (shape.outputs() * shape.behind() + shape.padding) as isize;
            for channel in 0..channels {
                let residues = copy_near(input, (channel, first), near, shape.blocks());
                let to = (&mut data[channel * COLS..], panels * COLS, apart);
                #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
                // SAFETY: it asks for nothing else.
                unsafe {
                    transform(residues, shape, to);
                }
            }
            let starts = shape.starts(panels * COLS + BESIDE);
            let starts = &starts[..shape.outputs()];
            let at_points = AtPoints { data, depth: channels, panels, apart };
            let mut products = vec![[[0.0; LANES]; _]; shape.points()];
            for start in rows.clone().step_by(MOST_ROWS) {
                self.multiply(&at_points, start / MOST_ROWS, &mut products, out);
                let rows = start..rows.end.min(start + MOST_ROWS);
                for (row, outputs) in rows.zip(out.chunks_exact(sums)) {
                    let base = input.base(row, &cols);
                    tile.fill_row(row, |room| {
                        Self::put((outputs, starts, panels * COLS), joined, base, room)
                    });
                }
            }
        });
    }

    /// The outputs of a group of rows.
    fn multiply(&self, at_points: &AtPoints<'_>, group: usize, products: &mut [Sums], out: &mut [f32]) {
        let of_group = products.len() * at_points.depth * MOST_ROWS;
        let weights = &self.points[group * of_group..][..of_group];
        for panel in 0..at_points.panels {
            assert!(at_points.right(products.len() - 1, panel).is_some(), "no such point");
            let to = (panel * COLS, at_points.panels * COLS + BESIDE);
            #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
            // SAFETY: weights and the last point's input, and so all before it, reach as far as is asked.
            unsafe {
                multiply_points(weights, at_points, panel, products);
                outputs(products, self.shape, out, to);
            }
        }
    }

    /// Puts the outputs of a row, as many lines of `width` numbers and [`BESIDE`] more as a tile has, in their places on top of `base`.
    /// `joined` has as much room. Returns `to`.
    fn put<'a>(
        (outputs, starts, width): (&[f32], &[usize], usize),
        joined: &mut [f32],
        base: Base<'_>,
        to: &'a mut [MaybeUninit<f32>],
    ) -> &'a mut [f32] {
        let line = |index: usize| &outputs[starts[index]..];
        let mut quarters = [line(0), line(1), line(2), line(3)];
        if starts.len() > SEGMENT {
            let len = SEGMENT * width;
            for (index, (quarter, joined)) in
                quarters.iter_mut().zip(joined.chunks_exact_mut(len)).enumerate()
            {
                let first = SEGMENT * index;
                interleave([line(first), line(first + 1), line(first + 2), line(first + 3)], joined);
                *quarter = joined;
            }
        }
        join(quarters, base, to)
    }
}

/// What each of a shape's segments counts for at each of their points.
fn of_segments(shape: Shape) -> Vec<Vec<f64>> {
    if shape.segments() == 1 { vec![vec![1.0]] } else { toom::of_taps(shape.segments(), shape.blocks()) }
}

/// The sum of as many equal parts of `from` as there are factors, each times its own.
fn add_up(to: &mut [f64], from: &[f64], factors: &[f64]) {
    to.fill(0.0);
    for (from, factor) in from.chunks_exact(to.len()).zip(factors) {
        to.iter_mut().zip(from).for_each(|(to, x)| *to += x * factor);
    }
}

/// What is seen of a channel of the input from position `first` on, with zeros beyond its ends, parted into residues modulo four, and
/// those again unless tiles have one block. `near` has room for three times that.
fn copy_near<'a>(
    input: &Input<'_>,
    (channel, first): (usize, isize),
    near: &'a mut [f32],
    blocks: usize,
) -> &'a [f32] {
    let span = near.len() / 3;
    let (row, residues) = near.split_at_mut(span);
    let (quarters, residues) = residues.split_at_mut(span);
    let from = first.clamp(0, input.len as isize) as usize;
    let to = (first + span as isize).clamp(from as isize, input.len as isize) as usize;
    let before = ((from as isize - first) as usize).min(span);
    let at = channel * input.len;
    if let Some(next) = input.x.get(at + input.len + from..at + input.len + to) {
        fetch(next);
    }
    let x = &input.x[at + from..at + to];
    let x = if x.len() == span && input.finish.is_none() {
        x
    } else {
        row[..before].fill(0.0);
        let own = &mut row[before..before + x.len()];
        match input.finish {
            None => own.copy_from_slice(x),
            Some(finish) => {
                #[expect(unsafe_code, reason = "the function's signature")]
                // SAFETY: it writes numbers alone.
                let own = unsafe { room(own) };
                finish.write((channel, from), x, own);
            }
        }
        row[before + x.len()..].fill(0.0);
        &*row
    };
    part(x, quarters);
    if blocks == 1 {
        return quarters;
    }
    let of_quarter = span / SEGMENT;
    for (quarter, residues) in quarters.chunks_exact(of_quarter).zip(residues.chunks_exact_mut(of_quarter)) {
        part(quarter, residues);
    }
    residues
}
