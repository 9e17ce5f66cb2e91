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
    simd::simd,
    tiles::{Mat, Tile, TileSize},
    vector::LANES,
};
use std::ops::Range;

/// Taps of a segment.
const TAPS: usize = 3;
/// Outputs of a tile, and residues of positions.
const OUTPUTS: usize = 4;
const POINTS: usize = 6;
/// f32 in a cache line.
const LINE: usize = 16;
/// Numbers of the transformed input of a tile, at most: they should stay in the second-level cache.
const TRANSFORMED: usize = 1 << 18;
const MOST_PANELS: usize = 8;

/// What a segment's taps are at each point: 0, 1, -1, 2, -2 and infinity.
const OF_TAPS: [[f64; TAPS]; POINTS] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];
simd! {
    /// Parts a row into its residues modulo 4, which lie one after the other.
    fn part(row: &[f32], residues: &mut [f32]) {
        let len = residues.len() / OUTPUTS;
        let (a, rest) = residues.split_at_mut(len);
        let (b, rest) = rest.split_at_mut(len);
        let (c, d) = rest.split_at_mut(len);
        for ((((four, a), b), c), d) in row.as_chunks::<OUTPUTS>().0.iter().zip(a).zip(b).zip(c).zip(d) {
            [*a, *b, *c, *d] = *four;
        }
    }
}

simd! {
    /// Adds four rows to a row that takes one number of each in turn.
    fn join(rows: [&[f32]; OUTPUTS], out: &mut [f32]) {
        let [a, b, c, d] = rows;
        let (fours, rest) = out.as_chunks_mut::<OUTPUTS>();
        let whole = fours.len();
        for ((((four, a), b), c), d) in fours.iter_mut().zip(a).zip(b).zip(c).zip(d) {
            four[0] += a;
            four[1] += b;
            four[2] += c;
            four[3] += d;
        }
        for (out, row) in rest.iter_mut().zip([a, b, c]) {
            *out += row[whole];
        }
    }
}

simd! {
    /// What the inputs in `near` are at each point. `near` has rows of `stride` numbers, and `places` says where the tiles' inputs
    /// begin in each; `to` is a panel for each point, with a line for every row.
    fn transform(near: &[f32], stride: usize, places: [usize; POINTS], to: [&mut [f32]; POINTS]) {
        let [v0, v1, v2, v3, v4, v5] = to.map(|to| to.as_chunks_mut::<COLS>().0);
        for (index, row) in near.chunks_exact(stride).enumerate() {
            let [x0, x1, x2, x3, x4, x5] = places.map(|at| &row[at..at + COLS]);
            for i in 0..COLS {
                let even = 4.0f32.mul_add(-x2[i], x4[i]);
                let odd = 4.0f32.mul_add(-x1[i], x3[i]);
                v1[index][i] = even + odd;
                v2[index][i] = even - odd;
                let even = x4[i] - x2[i];
                let odd = 2.0 * (x3[i] - x1[i]);
                v3[index][i] = even + odd;
                v4[index][i] = even - odd;
                v0[index][i] = 4.0f32.mul_add(x0[i], 5.0f32.mul_add(-x2[i], x4[i]));
                v5[index][i] = 4.0f32.mul_add(x1[i], 5.0f32.mul_add(-x3[i], x5[i]));
            }
        }
    }
}

simd! {
    /// The outputs of some rows out of their products at each point, at columns from `at` on; a row of `out` has four times `stride`
    /// numbers.
    fn outputs(products: &[Sums], out: &mut [f32], at: usize, stride: usize) {
        for (row, out) in out.chunks_exact_mut(OUTPUTS * stride).enumerate() {
            let [m0, m1, m2, m3, m4, m5]: [&[f32]; POINTS] =
                std::array::from_fn(|point| &products[point][row].as_flattened()[..COLS]);
            let (y0, out) = out.split_at_mut(stride);
            let (y1, out) = out.split_at_mut(stride);
            let (y2, y3) = out.split_at_mut(stride);
            let [y0, y1, y2, y3] = [y0, y1, y2, y3].map(|y| &mut y[at..at + COLS]);
            for i in 0..COLS {
                let (near, far) = (m1[i] + m2[i], m3[i] + m4[i]);
                y0[i] = m0[i] + near + far;
                y2[i] = 4.0f32.mul_add(far, near);
                let (near, far) = (m1[i] - m2[i], m3[i] - m4[i]);
                y1[i] = 2.0f32.mul_add(far, near);
                y3[i] = 8.0f32.mul_add(far, near) + m5[i];
            }
        }
    }
}

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

/// The weights of a convolution at each point.
#[derive(Debug)]
pub(crate) struct Winograd {
    shape: Shape,
    /// `(output, segments * input)` for each point.
    points: [Vec<f32>; POINTS],
    /// `(output, input)` of the tap that no segment has.
    rest: Option<Vec<f32>>,
}

/// What a tile needs beside the weights.
pub(crate) struct Input<'a> {
    /// `(input, len)`.
    pub(crate) x: &'a [f32],
    pub(crate) len: usize,
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
        let points = OF_TAPS.map(|factors| {
            let mut at_point = Vec::with_capacity(output * segments * input);
            for kernels in weight.chunks_exact(input * kernel) {
                for segment in 0..segments {
                    at_point.extend(kernels.chunks_exact(kernel).map(|taps| {
                        let taps = taps[segment * TAPS..].iter().zip(factors);
                        taps.map(|(tap, factor)| f64::from(*tap) * factor).sum::<f64>() as f32
                    }));
                }
            }
            at_point
        });
        let left = segments * TAPS < kernel;
        let rest = left.then(|| weight.iter().skip(kernel - 1).step_by(kernel).copied().collect());
        Self { shape, points, rest }
    }

    /// The grid that [`Winograd::add_to`] wants.
    pub(crate) fn tile(&self) -> TileSize {
        TileSize { rows: 256, cols: self.shape.columns() }
    }

    /// Adds the convolution to the tile, whose first column is a multiple of four.
    pub(crate) fn add_to(&self, tile: &mut Tile<'_>, input: &Input<'_>) {
        let Shape { input: channels, dilation, .. } = self.shape;
        let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
        let tiles = cols.len().div_ceil(OUTPUTS) + self.shape.before();
        let panels = tiles.div_ceil(COLS);
        let reach = (TAPS * self.shape.segments() + OUTPUTS - 1) * dilation / OUTPUTS;
        let stride = ((panels * COLS + reach).div_ceil(LINE) | 1) * LINE;
        let lines = self.shape.segments() * channels;
        let sizes = [
            channels * OUTPUTS * stride,
            POINTS * panels * lines * COLS,
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
            let mut done = rows.start;
            while done < rows.end {
                let high = self.multiply(&near, done..rows.end, at_points, (&mut products, out));
                self.put(out, panels * COLS, tile, done..done + high);
                done += high;
            }
        });
    }

    /// What the input is at each point, panel by panel.
    fn transform(&self, near: &Near<'_>, at_points: &mut [f32]) {
        let (channels, segments) = (self.shape.input, self.shape.segments());
        let mut at_points = at_points.chunks_exact_mut(near.panels * segments * channels * COLS);
        let mut at_points: [_; POINTS] =
            std::array::from_fn(|_| at_points.next().unwrap_or_default().chunks_exact_mut(channels * COLS));
        for panel in 0..near.panels {
            for segment in 0..segments {
                let places = std::array::from_fn(|step| {
                    let (residue, distance) = self.shape.place(step + segment * TAPS);
                    residue * near.stride + distance + panel * COLS
                });
                let to = at_points.each_mut().map(|lines| lines.next().unwrap_or_default());
                transform(near.data, OUTPUTS * near.stride, places, to);
            }
        }
    }

    /// The outputs of the first of `rows`; returns how many.
    fn multiply<'a>(
        &'a self,
        near: &Near<'_>,
        rows: Range<usize>,
        at_points: &[f32],
        (products, out): (&mut [Sums], &mut [f32]),
    ) -> usize {
        let channels = self.shape.input;
        let (depth, width) = (self.shape.segments() * channels, near.panels * COLS);
        let mut high = 0;
        let left = |weights: &'a [f32], depth: usize| -> Mat<'a> {
            Mat { data: &weights[rows.start * depth..], row_stride: depth, col_stride: 1 }
        };
        for panel in 0..near.panels {
            for (point, sums) in products.iter_mut().enumerate() {
                let data = &at_points[(point * near.panels + panel) * depth * COLS..];
                let right = Right { data, panels: 1, next: 0, segments: 1, shift: 0, depth, stride: COLS };
                (high, _) = multiply_singles(left(&self.points[point], depth), rows.len(), &right, sums);
            }
            let out = &mut out[..high * OUTPUTS * width];
            outputs(products, out, panel * COLS, width);
            let Some(rest) = &self.rest else { continue };
            for output in 0..OUTPUTS {
                let (residue, distance) = self.shape.place(output + self.shape.segments() * TAPS);
                let data = &near.data[residue * near.stride + distance + panel * COLS..];
                let stride = OUTPUTS * near.stride;
                let right =
                    Right { data, panels: 1, next: 0, segments: 1, shift: 0, depth: channels, stride };
                multiply_singles(left(rest, channels), rows.len(), &right, &mut products[0]);
                add(&products[0], out, output * width + panel * COLS, width);
            }
        }
        high
    }

    /// Adds the outputs of `rows`, of which each has four of `width` numbers, to their places in the tile.
    fn put(&self, outputs: &[f32], width: usize, tile: &mut Tile<'_>, rows: Range<usize>) {
        let before = self.shape.before();
        // Which output lies on a residue, and how many tiles before.
        let mut places = [(0, 0); OUTPUTS];
        for output in 0..OUTPUTS {
            let (residue, distance) = self.shape.place(output);
            places[residue] = (output, before - distance);
        }
        for (row, outputs) in rows.zip(outputs.chunks_exact(OUTPUTS * width)) {
            let rows = places.map(|(output, from)| &outputs[output * width + from..][..width - before]);
            join(rows, tile.row(row));
        }
    }
}

/// Copies each channel of the input from position `first` on, with zeros beyond its ends, parted into residues; `row` has room for
/// one before that.
fn copy_near(input: &Input<'_>, first: isize, near: &mut [f32], row: &mut [f32]) {
    let span = row.len();
    let from = first.clamp(0, input.len as isize) as usize;
    let to = (first + span as isize).clamp(from as isize, input.len as isize) as usize;
    let before = ((from as isize - first) as usize).min(span);
    row.fill(0.0);
    for (x, near) in input.x.chunks_exact(input.len).zip(near.chunks_exact_mut(span)) {
        row[before..before + (to - from)].copy_from_slice(&x[from..to]);
        part(row, near);
    }
}
