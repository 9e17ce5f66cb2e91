//! Matrices that are the right operand of products, laid out for them beforehand.
//!
//! The matrix is cut into panels of 32 columns, whose rows lie one after the other: a block of sums reads it from front to
//! back, and so does a single row, for which reading is all the cost.

use super::{
    block::{COLS, MOST_PANELS, Right, Sums, multiply_bytes, multiply_halves, multiply_singles},
    tiles::{Mat, Tile},
    vector::LANES,
};
use half::f16;
use std::ops::Range;

/// Columns of a panel.
pub(crate) const PANEL: usize = COLS;
/// Bytes of a cache line.
const LINE: usize = 64;

/// How the numbers of a matrix are stored. They are multiplied in single precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Storage {
    Single,
    Half,
    /// Multiples of the 127th part of the largest number of their column.
    Bytes,
}

/// Numbers whose first lies at the beginning of a cache line.
#[derive(Debug)]
struct Aligned<T> {
    data: Vec<T>,
    start: usize,
}

impl<T: Copy + Default> Aligned<T> {
    fn new(len: usize) -> Self {
        let data = vec![T::default(); len + LINE / size_of::<T>()];
        let start = data.as_ptr().align_offset(LINE);
        Self { data, start }
    }

    fn numbers(&self) -> &[T] {
        &self.data[self.start..]
    }

    fn numbers_mut(&mut self) -> &mut [T] {
        &mut self.data[self.start..]
    }
}

#[derive(Debug)]
enum Numbers {
    Single(Aligned<f32>),
    Half(Aligned<f16>),
    /// And what a column is multiplied by.
    Bytes(Aligned<i8>, Vec<f32>),
}

/// A matrix `(depth, cols)`, the right operand of products.
#[derive(Debug)]
pub(crate) struct Panels {
    numbers: Numbers,
    depth: usize,
    cols: usize,
}

impl Panels {
    /// Lays out a matrix of `depth` rows and `cols` columns.
    pub(crate) fn new(matrix: Mat<'_>, (depth, cols): (usize, usize), storage: Storage) -> Self {
        let dims = (depth, cols);
        let numbers = match storage {
            Storage::Single => Numbers::Single(lay_out(matrix, dims, |_, x| x)),
            Storage::Half => Numbers::Half(lay_out(matrix, dims, |_, x| f16::from_f32(x))),
            Storage::Bytes => {
                let units: Vec<f32> = (0..cols).map(|col| largest(matrix, depth, col) / 127.0).collect();
                let byte =
                    |col: usize, x: f32| if units[col] > 0.0 { (x / units[col]).round() as i8 } else { 0 };
                Numbers::Bytes(lay_out(matrix, dims, byte), units)
            }
        };
        Self { numbers, depth, cols }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.numbers {
            Numbers::Single(numbers) => size_of_val(numbers.numbers()),
            Numbers::Half(numbers) => size_of_val(numbers.numbers()),
            Numbers::Bytes(numbers, units) => size_of_val(numbers.numbers()) + size_of_val(units.as_slice()),
        }
    }

    /// The sums of the first rows of `lhs`, at most `rows`, and the columns of the first of `panels`; returns how many of both.
    fn multiply(&self, lhs: Mat<'_>, rows: usize, panels: Range<usize>, sums: &mut Sums) -> (usize, usize) {
        let count = panels.len().min(MOST_PANELS);
        let first = panels.start * self.depth * PANEL;
        match &self.numbers {
            Numbers::Single(numbers) => multiply_singles(lhs, rows, &self.right(numbers, first, count), sums),
            Numbers::Half(numbers) => multiply_halves(lhs, rows, &self.right(numbers, first, count), sums),
            Numbers::Bytes(numbers, units) => {
                let done = multiply_bytes(lhs, rows, &self.right(numbers, first, count), sums);
                let units = &units[panels.start * PANEL..];
                for sums in sums.as_flattened_mut().chunks_exact_mut(done.1 * PANEL).take(done.0) {
                    sums.iter_mut().zip(units).for_each(|(sum, unit)| *sum *= unit);
                }
                done
            }
        }
    }

    fn right<'a, T: Copy + Default>(
        &self,
        numbers: &'a Aligned<T>,
        first: usize,
        panels: usize,
    ) -> Right<'a, T> {
        let next = self.depth * PANEL;
        let data = &numbers.numbers()[first..first + panels * next];
        Right { data, panels, next, segments: 1, shift: 0, depth: self.depth, stride: PANEL }
    }
}

/// The largest absolute number of a column.
fn largest(matrix: Mat<'_>, depth: usize, col: usize) -> f32 {
    (0..depth)
        .map(|row| matrix.data[row * matrix.row_stride + col * matrix.col_stride].abs())
        .fold(0.0, f32::max)
}

fn lay_out<T: Copy + Default>(
    matrix: Mat<'_>,
    (depth, cols): (usize, usize),
    stored: impl Fn(usize, f32) -> T,
) -> Aligned<T> {
    let panels = cols.div_ceil(PANEL);
    let mut out = Aligned::new(panels * depth * PANEL);
    if depth == 0 {
        return out;
    }
    for (panel, lines) in out.numbers_mut().chunks_exact_mut(depth * PANEL).take(panels).enumerate() {
        let range = panel * PANEL..cols.min((panel + 1) * PANEL);
        if matrix.col_stride == 1 {
            for (row, line) in lines.chunks_exact_mut(PANEL).enumerate() {
                let from = &matrix.data[row * matrix.row_stride + range.start..][..range.len()];
                line.iter_mut().zip(from).zip(range.clone()).for_each(|((to, x), col)| *to = stored(col, *x));
            }
            continue;
        }
        for (at, col) in range.enumerate() {
            let from = matrix.data[col * matrix.col_stride..].iter().step_by(matrix.row_stride);
            let to = lines[at..].iter_mut().step_by(PANEL);
            to.zip(from).for_each(|(to, x)| *to = stored(col, *x));
        }
    }
    out
}

impl Tile<'_> {
    /// The products of `lhs`, whose rows are the tile's, and columns of `panels`, of which `first` is the tile's first; a panel
    /// begins there. `write` gets a row, a range of columns (both of the whole matrix), their sums, and where they belong.
    pub(crate) fn put_products(
        &mut self,
        lhs: Mat<'_>,
        (panels, first): (&Panels, usize),
        write: impl Fn(usize, Range<usize>, &[f32], &mut [f32]),
    ) {
        let (rows, cols) = (self.rows.clone(), self.cols.clone());
        assert!(
            first.is_multiple_of(PANEL) && first + cols.len() <= panels.cols,
            "columns outside of the panels"
        );
        assert!(lhs.col_stride == 1, "the left operand's rows must lie in line");
        let mut sums: Sums = [[0.0; LANES]; _];
        // All rows of a panel come before the next; only a few rows can take several at once.
        let most = if rows.len() > 2 { 1 } else { MOST_PANELS };
        let mut start = 0;
        while start < cols.len() {
            let (mut done, mut wide) = (0, 1);
            while done < rows.len() {
                let below = Mat { data: &lhs.data[done * lhs.row_stride..], ..lhs };
                let panel = (first + start) / PANEL;
                let left = panel..(first + cols.len()).div_ceil(PANEL).min(panel + most);
                let (high, count) = panels.multiply(below, rows.len() - done, left, &mut sums);
                wide = count;
                let end = cols.len().min(start + wide * PANEL);
                let lines = sums.as_flattened().chunks_exact(wide * PANEL).take(high);
                for (row, sums) in (rows.start + done..).zip(lines) {
                    let range = cols.start + start..cols.start + end;
                    write(row, range, &sums[..end - start], &mut self.row(row)[start..end]);
                }
                done += high;
            }
            start += wide * PANEL;
        }
    }

    /// The products of `lhs`, whose rows are the tile's, and [`Windows`] of what the columns `cols`, at most a panel, see. `write`
    /// gets a row, its sums, and where they belong; both columns and row are counted in the whole matrix.
    pub(crate) fn put_windows(
        &mut self,
        lhs: Mat<'_>,
        windows: &Windows<'_>,
        cols: Range<usize>,
        write: impl Fn(usize, &[f32], &mut [f32]),
    ) {
        let (rows, first) = (self.rows.clone(), self.cols.start);
        let Windows { data, count, shift, depth, width } = *windows;
        let right = Right { data, panels: 1, next: 0, segments: count, shift, depth, stride: width };
        let mut sums: Sums = [[0.0; LANES]; _];
        let mut done = 0;
        while done < rows.len() {
            let below = Mat { data: &lhs.data[done * lhs.row_stride..], ..lhs };
            let (high, _) = multiply_singles(below, rows.len() - done, &right, &mut sums);
            let lines = sums.as_flattened().chunks_exact(PANEL).take(high);
            for (row, sums) in (rows.start + done..).zip(lines) {
                let out = &mut self.row(row)[cols.start - first..cols.end - first];
                write(row, &sums[..cols.len()], out);
            }
            done += high;
        }
    }
}

/// The right operand of [`Tile::put_windows`]: `depth` rows of `width` numbers, of which a product meets the numbers from its column
/// on, and once more `shift` numbers later, `count` times in all.
#[derive(Clone, Copy)]
pub(crate) struct Windows<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) count: usize,
    pub(crate) shift: usize,
    pub(crate) depth: usize,
    pub(crate) width: usize,
}
