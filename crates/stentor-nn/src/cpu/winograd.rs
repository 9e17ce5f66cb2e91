//! Convolutions of stride 1 with half the multiplications (Winograd, "Arithmetic complexity of computations", 1980; F(4, 3) as in
//! Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, in one dimension).
//!
//! Three taps and four outputs are the product of two polynomials, and six points determine it: six products take the place of
//! twelve. A kernel is cut into segments of three taps, which share their sums; a tap that is left over is multiplied as it is.
//!
//! The four outputs of a tile lie `dilation` apart, and tiles begin at every fourth position. For an odd dilation they cover each
//! position once, and what a tile's vectors need lies in line once the input is parted into its four residues modulo 4.

use super::{
    block::{COLS, MOST_ROWS, Right, Sums, multiply_singles},
    scratch::with_scratch,
    simd::{simd, widest},
    tiles::{Mat, Tile, TileSize},
    vector::{LANES, Vector, fetch},
};
use std::ops::Range;

/// Taps of a segment.
const TAPS: usize = 3;
/// Outputs of a tile, and residues of positions.
const OUTPUTS: usize = 4;
const POINTS: usize = 6;
/// Numbers that are parted or joined at once.
const FOURS: usize = OUTPUTS * LANES;
/// f32 in a cache line.
const LINE: usize = 16;
/// Numbers of the transformed input of a tile, at most: they should stay in the second-level cache.
const TRANSFORMED: usize = 1 << 18;
const MOST_PANELS: usize = 4;

/// What a segment's taps are at each point: 0, 1, -1, 2, -2 and infinity.
const OF_TAPS: [[f64; TAPS]; POINTS] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
/// Parts a row into its residues modulo 4, which lie one after the other. Both have the same length, a multiple of four vectors.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn part_by<V: Vector>(row: &[f32], residues: &mut [f32]) {
    let len = residues.len() / OUTPUTS;
    let (a, rest) = residues.split_at_mut(len);
    let (b, rest) = rest.split_at_mut(len);
    let (c, d) = rest.split_at_mut(len);
    for (index, fours) in row.as_chunks::<FOURS>().0.iter().enumerate() {
        let at = index * LANES;
        // SAFETY: the caller's promise.
        unsafe {
            let [ac, bd] = load::<V>(fours, 0).unzip(load(fours, LANES));
            let [more_ac, more_bd] = load::<V>(fours, 2 * LANES).unzip(load(fours, 3 * LANES));
            let ([x, z], [y, w]) = (ac.unzip(more_ac), bd.unzip(more_bd));
            store(x, a, at);
            store(y, b, at);
            store(z, c, at);
            store(w, d, at);
        }
    }
}

/// What the sums of a row are added to.
#[derive(Clone, Copy)]
struct Base<'a> {
    bias: f32,
    residual: Option<&'a [f32]>,
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

/// Four rows to one that takes one number of each in turn, on top of `base`.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn join_by<V: Vector>(rows: [&[f32]; OUTPUTS], base: Base<'_>, out: &mut [f32]) {
    let [a, b, c, d] = rows;
    let whole = out.len() / FOURS;
    for index in 0..whole {
        let (at, to) = (index * LANES, index * FOURS);
        // SAFETY: the caller's promise.
        unsafe {
            let ([ac, more_ac], [bd, more_bd]) =
                (load::<V>(a, at).zip(load(c, at)), load::<V>(b, at).zip(load(d, at)));
            let ([x, y], [z, w]) = (ac.zip(bd), more_ac.zip(more_bd));
            store(x.add(base.load(to)), out, to);
            store(y.add(base.load(to + LANES)), out, to + LANES);
            store(z.add(base.load(to + 2 * LANES)), out, to + 2 * LANES);
            store(w.add(base.load(to + 3 * LANES)), out, to + 3 * LANES);
        }
    }
    for place in whole * FOURS..out.len() {
        let residual = base.residual.map_or(0.0, |residual| residual[place]);
        out[place] = residual + base.bias + rows[place % OUTPUTS][place / OUTPUTS];
    }
}

widest! { fn part(row: &[f32], residues: &mut [f32]) => part_by }
widest! { fn join(rows: [&[f32]; OUTPUTS], base: Base<'_>, out: &mut [f32]) => join_by }

/// What the inputs in `near` are at each point. `near` has rows of `stride` numbers, and `places` says where the tiles' inputs
/// begin in each; `to` is a panel for each point, with a line for every row.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn transform_by<V: Vector>(
    near: &[f32],
    stride: usize,
    places: [usize; POINTS],
    to: [&mut [f32]; POINTS],
) {
    let [v0, v1, v2, v3, v4, v5] = to;
    let [p0, p1, p2, p3, p4, p5] = places;
    for (index, row) in near.chunks_exact(stride).enumerate() {
        for part in (0..COLS).step_by(LANES) {
            let line = index * COLS + part;
            // SAFETY: the caller's promise.
            unsafe {
                let (x0, x1, x2) =
                    (load::<V>(row, p0 + part), load::<V>(row, p1 + part), load::<V>(row, p2 + part));
                let (x3, x4, x5) =
                    (load::<V>(row, p3 + part), load::<V>(row, p4 + part), load::<V>(row, p5 + part));
                let (four, five) = (V::splat(4.0), V::splat(-5.0));
                let (even, odd) = (x2.mul_add(V::splat(-4.0), x4), x1.mul_add(V::splat(-4.0), x3));
                store(even.add(odd), v1, line);
                store(even.sub(odd), v2, line);
                let (even, odd) = (x4.sub(x2), x3.sub(x1));
                store(odd.mul_add(V::splat(2.0), even), v3, line);
                store(odd.mul_add(V::splat(-2.0), even), v4, line);
                store(x0.mul_add(four, x2.mul_add(five, x4)), v0, line);
                store(x1.mul_add(four, x3.mul_add(five, x5)), v5, line);
            }
        }
    }
}

/// [`LANES`] numbers from a place on.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn load<V: Vector>(from: &[f32], at: usize) -> V {
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
unsafe fn store<V: Vector>(vector: V, to: &mut [f32], at: usize) {
    if let Some(to) = to[at..at + LANES].first_chunk_mut() {
        // SAFETY: the caller's promise.
        unsafe { vector.store(to) }
    }
}

/// The outputs of some rows out of their products at each point, at columns from `at` on; a row of `out` has four times `stride`
/// numbers.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn outputs_by<V: Vector>(products: &[Sums], out: &mut [f32], at: usize, stride: usize) {
    let [p0, p1, p2, p3, p4, p5] = products else { unreachable!("there is a product for each point") };
    for (row, out) in out.chunks_exact_mut(OUTPUTS * stride).enumerate() {
        for part in 0..COLS / LANES {
            let at = at + part * LANES;
            // SAFETY: the caller's promise.
            unsafe {
                let (m0, m1, m2) =
                    (V::load(&p0[row][part]), V::load(&p1[row][part]), V::load(&p2[row][part]));
                let (m3, m4, m5) =
                    (V::load(&p3[row][part]), V::load(&p4[row][part]), V::load(&p5[row][part]));
                let (near, far) = (m1.add(m2), m3.add(m4));
                store(m0.add(near).add(far), out, at);
                store(far.mul_add(V::splat(4.0), near), out, 2 * stride + at);
                let (near, far) = (m1.sub(m2), m3.sub(m4));
                store(far.mul_add(V::splat(2.0), near), out, stride + at);
                store(far.mul_add(V::splat(8.0), near).add(m5), out, 3 * stride + at);
            }
        }
    }
}

widest! {
    fn transform(near: &[f32], stride: usize, places: [usize; POINTS], to: [&mut [f32]; POINTS]) => transform_by
}
widest! { fn outputs(products: &[Sums], out: &mut [f32], at: usize, stride: usize) => outputs_by }

simd! {
    /// Adds sums of rows to columns from `at` on of one output.
    fn add(sums: &Sums, out: &mut [f32], at: usize, stride: usize) {
        for (sums, out) in sums.iter().zip(out.chunks_exact_mut(OUTPUTS * stride)) {
            for (out, sum) in out[at..at + COLS].iter_mut().zip(sums.as_flattened()) {
                *out += sum;
            }
        }
    }
}

/// The geometry of such a convolution: its dilation is odd, its kernel has three taps or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) input: usize,
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

impl Shape {
    /// Segments of three taps; a single tap that is left has none.
    fn segments(self) -> usize {
        if self.kernel % TAPS == 1 { self.kernel / TAPS } else { self.kernel.div_ceil(TAPS) }
    }

    /// Tiles whose outputs reach behind the positions that they begin at.
    fn before(self) -> usize {
        ((OUTPUTS - 1) * self.dilation).div_ceil(OUTPUTS)
    }

    /// Columns of the output that are computed at once, a multiple of four.
    fn columns(self) -> usize {
        let panels = TRANSFORMED / (POINTS * COLS * self.segments() * self.input);
        let panels = panels.clamp(1, MOST_PANELS);
        OUTPUTS * (panels * COLS - self.before())
    }

    /// Where the input that is `steps` dilations behind a tile's first lies: its residue, and the distance in it.
    fn place(self, steps: usize) -> (usize, usize) {
        (steps * self.dilation % OUTPUTS, steps * self.dilation / OUTPUTS)
    }
}

/// The weights of a convolution at each point. Outputs are parted into groups of [`MOST_ROWS`], with zeros at the end, and lie in
/// the order in which they are multiplied: a cache fetches ahead what lies in line.
#[derive(Debug)]
pub(crate) struct Winograd {
    shape: Shape,
    /// `(group, point, segments * input, MOST_ROWS)`.
    points: Vec<f32>,
    /// `(group, input, MOST_ROWS)` of the tap that no segment has.
    rest: Option<Vec<f32>>,
}

/// What a tile needs beside the weights.
pub(crate) struct Input<'a> {
    /// `(input, len)`.
    pub(crate) x: &'a [f32],
    pub(crate) len: usize,
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

/// A tile's input, parted: rows of `OUTPUTS * stride` numbers.
struct Near<'a> {
    data: &'a [f32],
    stride: usize,
    panels: usize,
}

impl Winograd {
    /// Out of `(output, input, kernel)`.
    pub(crate) fn new(weight: &[f32], shape: Shape) -> Self {
        assert!(shape.dilation % 2 == 1 && shape.kernel >= TAPS, "no such convolution: {shape:?}");
        let Shape { input, output, kernel, .. } = shape;
        let segments = shape.segments();
        let depth = segments * input;
        let groups = output.div_ceil(MOST_ROWS);
        let mut points = vec![0.0; groups * POINTS * depth * MOST_ROWS];
        for (row, kernels) in weight.chunks_exact(input * kernel).enumerate() {
            let group = &mut points[row / MOST_ROWS * POINTS * depth * MOST_ROWS..];
            for (factors, at_point) in OF_TAPS.iter().zip(group.chunks_exact_mut(depth * MOST_ROWS)) {
                for (step, at_point) in at_point.chunks_exact_mut(MOST_ROWS).enumerate() {
                    let (segment, channel) = (step / input, step % input);
                    let taps = &kernels[channel * kernel..][..kernel][segment * TAPS..];
                    let products = taps.iter().zip(factors).map(|(tap, factor)| f64::from(*tap) * factor);
                    at_point[row % MOST_ROWS] = products.sum::<f64>() as f32;
                }
            }
        }
        let rest = (segments * TAPS < kernel).then(|| {
            let mut rest = vec![0.0; groups * input * MOST_ROWS];
            for (index, taps) in weight.chunks_exact(kernel).enumerate() {
                let (row, channel) = (index / input, index % input);
                rest[(row / MOST_ROWS * input + channel) * MOST_ROWS + row % MOST_ROWS] = taps[kernel - 1];
            }
            rest
        });
        Self { shape, points, rest }
    }

    /// The grid that [`Winograd::fill`] wants.
    pub(crate) fn tile(&self) -> TileSize {
        TileSize { rows: self.shape.output, cols: self.shape.columns() }
    }

    /// Computes the tile, whose first column is a multiple of four.
    pub(crate) fn fill(&self, tile: &mut Tile<'_>, input: &Input<'_>) {
        let Shape { input: channels, dilation, .. } = self.shape;
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let tiles = cols.len().div_ceil(OUTPUTS) + self.shape.before();
        let panels = tiles.div_ceil(COLS);
        let reach = (TAPS * self.shape.segments() + OUTPUTS - 1) * dilation / OUTPUTS;
        let stride = ((panels * COLS + reach).div_ceil(LINE) | 1) * LINE;
        let lines = self.shape.segments() * channels;
        let sizes = [
            channels * OUTPUTS * stride,
            POINTS * panels * Self::room(lines),
            MOST_ROWS * OUTPUTS * panels * COLS,
            OUTPUTS * stride,
        ];
        with_scratch(sizes.iter().sum(), |room| {
            let (near, room) = room.split_at_mut(sizes[0]);
            let (at_points, room) = room.split_at_mut(sizes[1]);
            let (out, row) = room.split_at_mut(sizes[2]);
            let first = cols.start as isize - (OUTPUTS * self.shape.before() + self.shape.padding) as isize;
            copy_near(input, first, near, row);
            let near = Near { data: near, stride, panels };
            self.transform(&near, at_points);
            let mut products = vec![[[[0.0; LANES]; _]; _]; POINTS];
            for start in rows.clone().step_by(MOST_ROWS) {
                self.multiply(&near, start / MOST_ROWS, at_points, (&mut products, out));
                self.put((out, panels * COLS), input, tile, start..rows.end.min(start + MOST_ROWS));
            }
        });
    }

    /// What the input is at each point, panel by panel.
    fn transform(&self, near: &Near<'_>, at_points: &mut [f32]) {
        let (channels, segments) = (self.shape.input, self.shape.segments());
        let at_panels = at_points.chunks_exact_mut(POINTS * Self::room(segments * channels));
        for (panel, at_points) in at_panels.enumerate() {
            let mut at_points = at_points.chunks_exact_mut(Self::room(segments * channels));
            let mut at_points: [_; POINTS] = std::array::from_fn(|_| {
                at_points.next().unwrap_or_default().chunks_exact_mut(channels * COLS)
            });
            for segment in 0..segments {
                let places = std::array::from_fn(|step| {
                    let (residue, distance) = self.shape.place(step + segment * TAPS);
                    residue * near.stride + distance + panel * COLS
                });
                let to = at_points.each_mut().map(|lines| lines.next().unwrap_or_default());
                #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
                // SAFETY: it asks for nothing else.
                unsafe {
                    transform(near.data, OUTPUTS * near.stride, places, to);
                }
            }
        }
    }

    /// Numbers of a panel at one point. Panels of the same line should not meet in the same set of a cache.
    fn room(lines: usize) -> usize {
        lines * COLS + 3 * LINE
    }

    /// The outputs of a group of rows.
    fn multiply(
        &self,
        near: &Near<'_>,
        group: usize,
        at_points: &[f32],
        (products, out): (&mut [Sums], &mut [f32]),
    ) {
        let channels = self.shape.input;
        let (depth, width) = (self.shape.segments() * channels, near.panels * COLS);
        let weights = &self.points[group * POINTS * depth * MOST_ROWS..];
        for panel in 0..near.panels {
            let weights = weights.chunks_exact(depth * MOST_ROWS);
            for (point, (sums, weights)) in products.iter_mut().zip(weights).enumerate() {
                let data = &at_points[(panel * POINTS + point) * Self::room(depth)..];
                multiply_group(weights, data, (depth, COLS), sums);
            }
            #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
            // SAFETY: it asks for nothing else.
            unsafe {
                outputs(products, out, panel * COLS, width);
            }
            let Some(rest) = &self.rest else { continue };
            let rest = &rest[group * channels * MOST_ROWS..][..channels * MOST_ROWS];
            for output in 0..OUTPUTS {
                let (residue, distance) = self.shape.place(output + self.shape.segments() * TAPS);
                let data = &near.data[residue * near.stride + distance + panel * COLS..];
                multiply_group(rest, data, (channels, OUTPUTS * near.stride), &mut products[0]);
                add(&products[0], out, output * width + panel * COLS, width);
            }
        }
    }

    /// Puts the outputs of `rows`, of which each has four of `width` numbers, in their places in the tile.
    fn put(
        &self,
        (outputs, width): (&[f32], usize),
        input: &Input<'_>,
        tile: &mut Tile<'_>,
        rows: Range<usize>,
    ) {
        let before = self.shape.before();
        // Which output lies on a residue, and how many tiles before.
        let mut places = [(0, 0); OUTPUTS];
        for output in 0..OUTPUTS {
            let (residue, distance) = self.shape.place(output);
            places[residue] = (output, before - distance);
        }
        for (row, outputs) in rows.zip(outputs.chunks_exact(OUTPUTS * width)) {
            let rows = places.map(|(output, from)| &outputs[output * width + from..][..width - before]);
            #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
            // SAFETY: it asks for nothing else.
            unsafe {
                join(rows, input.base(row, &tile.cols), tile.row(row));
            }
        }
    }
}

/// The sums of a group of rows over `depth` lines of `data`, which lie `stride` numbers apart.
fn multiply_group(weights: &[f32], data: &[f32], (depth, stride): (usize, usize), sums: &mut Sums) {
    let right = Right { data, panels: 1, next: 0, segments: 1, shift: 0, depth, stride };
    let mut done = 0;
    while done < MOST_ROWS {
        let lhs = Mat { data: &weights[done..], row_stride: 1, col_stride: MOST_ROWS };
        done += multiply_singles(lhs, MOST_ROWS - done, &right, &mut sums[done..]).0;
    }
}

/// Copies each channel of the input from position `first` on, with zeros beyond its ends, parted into residues; `row` has room for
/// one before that.
fn copy_near(input: &Input<'_>, first: isize, near: &mut [f32], row: &mut [f32]) {
    let span = row.len();
    let from = first.clamp(0, input.len as isize) as usize;
    let to = (first + span as isize).clamp(from as isize, input.len as isize) as usize;
    let before = ((from as isize - first) as usize).min(span);
    let whole = to - from == span;
    row.fill(0.0);
    for (channel, near) in near.chunks_exact_mut(span).enumerate() {
        let at = channel * input.len;
        if let Some(next) = input.x.get(at + input.len + from..at + input.len + to) {
            fetch(next);
        }
        let x = &input.x[at + from..at + to];
        let x = if whole {
            x
        } else {
            row[before..before + (to - from)].copy_from_slice(x);
            &*row
        };
        #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
        // SAFETY: it asks for nothing else.
        unsafe {
            part(x, near);
        }
    }
}
