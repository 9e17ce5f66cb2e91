//! Convolutions of stride 1 with half the multiplications (Winograd, "Arithmetic complexity of computations", 1980; F(4, 3) as in
//! Lavin and Gray, "Fast algorithms for convolutional neural networks", 2015, in one dimension).
//!
//! Some taps and four outputs are the product of two polynomials, which its values at as many points as it has numbers determine:
//! with three taps six products take the place of twelve, with four seven that of sixteen. A longer kernel is cut into segments of
//! four taps, which share their sums; they are as long as a tile, so what the input is at each point serves all of them.
//!
//! The four outputs of a tile lie `dilation` apart, and tiles begin at every fourth position. For an odd dilation they cover each
//! position once, and what a tile's vectors need lies in line once the input is parted into its four residues modulo 4.

use super::{
    block::{COLS, MOST_ROWS, Right, Sums, multiply_singles},
    scratch::with_scratch,
    simd::widest,
    tiles::{Mat, Tile, TileSize},
    vector::{LANES, Vector, fetch},
};
use std::ops::Range;

/// Outputs of a tile, residues of positions, and taps of a segment unless it is the only one.
const OUTPUTS: usize = 4;
/// The points beside infinity, which is the last. Three taps do without minus a half. With a half the error is a twentieth more, with
/// larger or closer points it is some times as large.
const POINTS: [f64; OUTPUTS + 2] = [0.0, 1.0, -1.0, 2.0, -2.0, -0.5];
/// Numbers that are parted or joined at once.
const FOURS: usize = OUTPUTS * LANES;
/// f32 in a cache line.
const LINE: usize = 16;
/// Numbers of the transformed input of a tile, at most: they should stay in the second-level cache.
const TRANSFORMED: usize = 1 << 18;
const MOST_PANELS: usize = 8;

/// What each of a segment's taps counts for at each point.
fn of_taps(taps: usize) -> Vec<Vec<f64>> {
    let points = &POINTS[..taps + OUTPUTS - 2];
    let finite = points.iter().enumerate().map(|(index, point)| {
        let others = points[..index].iter().chain(&points[index + 1..]);
        let scale: f64 = others.map(|other| point - other).product();
        (0..taps as i32).map(|tap| point.powi(tap) / scale).collect()
    });
    let infinity = (1..=taps).map(|tap| if tap == taps { 1.0 } else { 0.0 }).collect();
    finite.chain([infinity]).collect()
}

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

/// What six numbers of the input are at 0, 1, -1, 2, -2 and infinity.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn six<V: Vector>([x0, x1, x2, x3, x4, x5]: [V; 6]) -> [V; 6] {
    // SAFETY: the caller's promise.
    unsafe {
        let (four, five) = (V::splat(4.0), V::splat(-5.0));
        let (even, odd) = (x2.mul_add(V::splat(-4.0), x4), x1.mul_add(V::splat(-4.0), x3));
        let (near, far) = (x4.sub(x2), x3.sub(x1));
        [
            x0.mul_add(four, x2.mul_add(five, x4)),
            even.add(odd),
            even.sub(odd),
            far.mul_add(V::splat(2.0), near),
            far.mul_add(V::splat(-2.0), near),
            x1.mul_add(four, x3.mul_add(five, x5)),
        ]
    }
}

/// What a row of the input is at each point for segments of three taps. `places` says where the tiles' inputs begin in it; `to`
/// has a row for each point, of the same length.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn three_taps_by<V: Vector>(row: &[f32], places: [usize; 6], to: [&mut [f32]; 6]) {
    let ([p0, p1, p2, p3, p4, p5], [v0, v1, v2, v3, v4, v5]) = (places, to);
    for at in (0..v0.len()).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let near = [load::<V>(row, p0 + at), load(row, p1 + at), load(row, p2 + at)];
            let [[x0, x1, x2], [x3, x4, x5]] =
                [near, [load(row, p3 + at), load(row, p4 + at), load(row, p5 + at)]];
            let [y0, y1, y2, y3, y4, y5] = six([x0, x1, x2, x3, x4, x5]);
            store(y0, v0, at);
            store(y1, v1, at);
            store(y2, v2, at);
            store(y3, v3, at);
            store(y4, v4, at);
            store(y5, v5, at);
        }
    }
}

/// [`three_taps_by`] for segments of four.
///
/// # Safety
/// The machine has the instructions of `V`.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn four_taps_by<V: Vector>(row: &[f32], places: [usize; 7], to: [&mut [f32]; 7]) {
    let ([p0, p1, p2, p3, p4, p5, p6], [v0, v1, v2, v3, v4, v5, v6]) = (places, to);
    for at in (0..v0.len()).step_by(LANES) {
        // SAFETY: the caller's promise.
        unsafe {
            let (x0, x1, x2) = (load::<V>(row, p0 + at), load::<V>(row, p1 + at), load::<V>(row, p2 + at));
            let (x3, x4, x5) = (load::<V>(row, p3 + at), load::<V>(row, p4 + at), load::<V>(row, p5 + at));
            let (x6, half) = (load::<V>(row, p6 + at), V::splat(0.5));
            // The polynomial of seven points is that of six times x + 1/2.
            let near = [x0.mul_add(half, x1), x1.mul_add(half, x2), x2.mul_add(half, x3)];
            let far = [x3.mul_add(half, x4), x4.mul_add(half, x5), x5.mul_add(half, x6)];
            let [y0, y1, y2, y3, y4, y6] = six([near[0], near[1], near[2], far[0], far[1], far[2]]);
            store(y0, v0, at);
            store(y1, v1, at);
            store(y2, v2, at);
            store(y3, v3, at);
            store(y4, v4, at);
            store(x1.mul_add(V::splat(4.0), x3.mul_add(V::splat(-5.0), x5)), v5, at);
            store(y6, v6, at);
        }
    }
}

widest! { fn three_taps(row: &[f32], places: [usize; 6], to: [&mut [f32]; 6]) => three_taps_by }
widest! { fn four_taps(row: &[f32], places: [usize; 7], to: [&mut [f32]; 7]) => four_taps_by }

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
    let [p0, p1, p2, p3, p4, half @ .., last] = products else { unreachable!("there are as many as points") };
    let half = half.first();
    for (row, out) in out.chunks_exact_mut(OUTPUTS * stride).enumerate() {
        for part in 0..COLS / LANES {
            let at = at + part * LANES;
            // SAFETY: the caller's promise.
            unsafe {
                let (m0, m1, m2) =
                    (V::load(&p0[row][part]), V::load(&p1[row][part]), V::load(&p2[row][part]));
                let (m3, m4, last) =
                    (V::load(&p3[row][part]), V::load(&p4[row][part]), V::load(&last[row][part]));
                let (near, far) = (m1.add(m2), m3.add(m4));
                let mut y0 = m0.add(near).add(far);
                let mut y2 = far.mul_add(V::splat(4.0), near);
                let (near, far) = (m1.sub(m2), m3.sub(m4));
                let mut y1 = far.mul_add(V::splat(2.0), near);
                let mut y3 = far.mul_add(V::splat(8.0), near).add(last);
                if let Some(half) = half {
                    let half = V::load(&half[row][part]);
                    y0 = y0.add(half);
                    y1 = half.mul_add(V::splat(-0.5), y1);
                    y2 = half.mul_add(V::splat(0.25), y2);
                    y3 = half.mul_add(V::splat(-0.125), y3);
                }
                store(y0, out, at);
                store(y1, out, stride + at);
                store(y2, out, 2 * stride + at);
                store(y3, out, 3 * stride + at);
            }
        }
    }
}

widest! { fn outputs(products: &[Sums], out: &mut [f32], at: usize, stride: usize) => outputs_by }

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
    /// Taps of a segment.
    fn taps(self) -> usize {
        self.kernel.min(OUTPUTS)
    }

    fn points(self) -> usize {
        self.taps() + OUTPUTS - 1
    }

    fn segments(self) -> usize {
        self.kernel.div_ceil(OUTPUTS)
    }

    /// How many tiles the last segment is ahead of the first.
    fn ahead(self) -> usize {
        (self.segments() - 1) * self.dilation
    }

    /// Tiles whose outputs reach behind the positions that they begin at.
    fn before(self) -> usize {
        self.place(OUTPUTS - 1).1 + usize::from(self.place(OUTPUTS - 1).0 > 0)
    }

    /// Panels of tiles that are computed at once.
    fn panels(self) -> usize {
        let tiles = TRANSFORMED / (self.points() * self.input);
        (tiles.saturating_sub(self.ahead()) / COLS).clamp(1, MOST_PANELS)
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

/// A tile's input at each point: `channels` lines of `width` tiles, of which the first `panels` times [`COLS`] have outputs. The
/// lines of a point begin `room` numbers after those of the one before.
struct AtPoints<'a> {
    data: &'a [f32],
    width: usize,
    panels: usize,
    room: usize,
}

impl Winograd {
    /// Out of `(output, input, kernel)`.
    pub(crate) fn new(weight: &[f32], shape: Shape) -> Self {
        assert!(shape.dilation % 2 == 1 && shape.kernel >= 3, "no such convolution: {shape:?}");
        let Shape { input, output, kernel, .. } = shape;
        let depth = shape.segments() * input;
        let factors = of_taps(shape.taps());
        let mut points = vec![0.0; output.div_ceil(MOST_ROWS) * factors.len() * depth * MOST_ROWS];
        for (row, kernels) in weight.chunks_exact(input * kernel).enumerate() {
            let group = &mut points[row / MOST_ROWS * factors.len() * depth * MOST_ROWS..];
            for (factors, at_point) in factors.iter().zip(group.chunks_exact_mut(depth * MOST_ROWS)) {
                for (step, at_point) in at_point.chunks_exact_mut(MOST_ROWS).enumerate() {
                    let (segment, channel) = (step / input, step % input);
                    let taps = &kernels[channel * kernel..][..kernel][segment * OUTPUTS..];
                    let products = taps.iter().zip(factors).map(|(tap, factor)| f64::from(*tap) * factor);
                    at_point[row % MOST_ROWS] = products.sum::<f64>() as f32;
                }
            }
        }
        Self { shape, points }
    }

    /// The grid that [`Winograd::fill`] wants.
    pub(crate) fn tile(&self) -> TileSize {
        let cols = OUTPUTS * (self.shape.panels() * COLS - self.shape.before());
        TileSize { rows: self.shape.output, cols }
    }

    /// Computes the tile, whose first column is a multiple of four.
    pub(crate) fn fill(&self, tile: &mut Tile<'_>, input: &Input<'_>) {
        let channels = self.shape.input;
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let panels = (cols.len().div_ceil(OUTPUTS) + self.shape.before()).div_ceil(COLS);
        // An odd number of lines, and some after each point: what is met together should not meet in one set of a cache.
        let width = ((panels * COLS + self.shape.ahead()).div_ceil(LINE) | 1) * LINE;
        let room = channels * width + 3 * LINE;
        let stride = (width + self.shape.place(self.shape.points() - 1).1).next_multiple_of(LINE);
        let sizes = [2 * OUTPUTS * stride, self.shape.points() * room, MOST_ROWS * OUTPUTS * panels * COLS];
        with_scratch(sizes.iter().sum(), |scratch| {
            let (near, scratch) = scratch.split_at_mut(sizes[0]);
            let (data, out) = scratch.split_at_mut(sizes[1]);
            let first = cols.start as isize - (OUTPUTS * self.shape.before() + self.shape.padding) as isize;
            self.transform(input, first, near, (&mut *data, width, room));
            let at_points = AtPoints { data, width, panels, room };
            let mut products = vec![[[[0.0; LANES]; _]; _]; self.shape.points()];
            for start in rows.clone().step_by(MOST_ROWS) {
                self.multiply(&at_points, start / MOST_ROWS, &mut products, out);
                self.put((out, panels * COLS), input, tile, start..rows.end.min(start + MOST_ROWS));
            }
        });
    }

    /// What the input is at each point, from position `first` of it on; `near` has room for twice what is seen of a channel.
    fn transform(
        &self,
        input: &Input<'_>,
        first: isize,
        near: &mut [f32],
        (data, width, room): (&mut [f32], usize, usize),
    ) {
        let (row, residues) = near.split_at_mut(near.len() / 2);
        let stride = row.len() / OUTPUTS;
        let mut lines: Vec<_> =
            data.chunks_exact_mut(room).map(|point| point.chunks_exact_mut(width)).collect();
        for channel in 0..self.shape.input {
            copy_near(input, channel, first, residues, row);
            let mut to = lines.iter_mut().map(|lines| lines.next().unwrap_or_default());
            let to: [&mut [f32]; POINTS.len() + 1] = std::array::from_fn(|_| to.next().unwrap_or_default());
            let places: [usize; POINTS.len() + 1] = std::array::from_fn(|step| {
                let (residue, distance) = self.shape.place(step);
                residue * stride + distance
            });
            #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
            // SAFETY: it asks for nothing else.
            unsafe {
                if self.shape.taps() < OUTPUTS {
                    let ([p0, p1, p2, p3, p4, p5, _], [v0, v1, v2, v3, v4, v5, _]) = (places, to);
                    three_taps(residues, [p0, p1, p2, p3, p4, p5], [v0, v1, v2, v3, v4, v5]);
                } else {
                    four_taps(residues, places, to);
                }
            }
        }
    }

    /// The outputs of a group of rows.
    fn multiply(&self, at_points: &AtPoints<'_>, group: usize, products: &mut [Sums], out: &mut [f32]) {
        let Shape { input: channels, dilation, .. } = self.shape;
        let (segments, depth) = (self.shape.segments(), self.shape.segments() * channels);
        let weights = &self.points[group * products.len() * depth * MOST_ROWS..];
        for panel in 0..at_points.panels {
            let weights = weights.chunks_exact(depth * MOST_ROWS);
            for (point, (sums, weights)) in products.iter_mut().zip(weights).enumerate() {
                let right = Right {
                    data: &at_points.data[point * at_points.room + panel * COLS..],
                    panels: 1,
                    next: 0,
                    segments,
                    shift: dilation,
                    depth: channels,
                    stride: at_points.width,
                };
                let mut done = 0;
                while done < MOST_ROWS {
                    let lhs = Mat { data: &weights[done..], row_stride: 1, col_stride: MOST_ROWS };
                    done += multiply_singles(lhs, MOST_ROWS - done, &right, &mut sums[done..]).0;
                }
            }
            #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
            // SAFETY: it asks for nothing else.
            unsafe {
                outputs(products, out, panel * COLS, at_points.panels * COLS);
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

/// Copies a channel of the input from position `first` on, with zeros beyond its ends, parted into residues; `row` has room for it
/// before that.
fn copy_near(input: &Input<'_>, channel: usize, first: isize, residues: &mut [f32], row: &mut [f32]) {
    let span = row.len();
    let from = first.clamp(0, input.len as isize) as usize;
    let to = (first + span as isize).clamp(from as isize, input.len as isize) as usize;
    let before = ((from as isize - first) as usize).min(span);
    let at = channel * input.len;
    if let Some(next) = input.x.get(at + input.len + from..at + input.len + to) {
        fetch(next);
    }
    let x = &input.x[at + from..at + to];
    let x = if x.len() == span {
        x
    } else {
        row[..before].fill(0.0);
        row[before..before + x.len()].copy_from_slice(x);
        row[before + x.len()..].fill(0.0);
        &*row
    };
    #[expect(unsafe_code, reason = "as wide as the machine's vectors")]
    // SAFETY: it asks for nothing else.
    unsafe {
        part(x, residues);
    }
}
