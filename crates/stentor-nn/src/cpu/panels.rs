//! Matrix products with a right operand that was laid out for them beforehand.
//!
//! The operand is cut into panels of 32 columns, whose rows lie one after the other: a block of sums reads it from front to
//! back, and so does a single row, for which reading is all the cost. Every sum runs over its depth in order, whatever the
//! number of rows: what becomes of a row does not depend on the others, bit for bit.

#[cfg(target_arch = "x86_64")]
use super::vector::{Avx2, Avx512};
use super::{
    tiles::{Mat, Tile},
    vector::{LANES, Portable, Vector},
};

/// Columns of a panel.
pub(crate) const PANEL: usize = 2 * LANES;
/// Rows of the largest block of any instruction set.
const MOST_ROWS: usize = 12;

type Sums = [[[f32; LANES]; 2]; MOST_ROWS];

/// One row of a panel, as it is stored.
#[expect(unsafe_code, reason = "part of the kernel's loop")]
trait Line: Copy + Default {
    fn of(values: [f32; PANEL]) -> Self;
    /// # Safety
    /// The machine has the instructions of `V`.
    unsafe fn part<V: Vector>(&self, part: usize) -> V;
}

#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Full([[f32; LANES]; 2]);

#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct Half([[u16; LANES]; 2]);

#[expect(unsafe_code, clippy::inline_always, reason = "part of the kernel's loop")]
impl Line for Full {
    fn of(values: [f32; PANEL]) -> Self {
        Self(std::array::from_fn(|part| std::array::from_fn(|lane| values[part * LANES + lane])))
    }

    #[inline(always)]
    unsafe fn part<V: Vector>(&self, part: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(&self.0[part]) }
    }
}

#[expect(unsafe_code, clippy::inline_always, reason = "part of the kernel's loop")]
impl Line for Half {
    fn of(values: [f32; PANEL]) -> Self {
        let bits = |part: usize, lane: usize| half::f16::from_f32(values[part * LANES + lane]).to_bits();
        Self(std::array::from_fn(|part| std::array::from_fn(|lane| bits(part, lane))))
    }

    #[inline(always)]
    unsafe fn part<V: Vector>(&self, part: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::widen(&self.0[part]) }
    }
}

#[derive(Debug, Clone)]
enum Lines {
    Full(Vec<Full>),
    Half(Vec<Half>),
}

/// A matrix `(depth, cols)`, the right operand of products.
#[derive(Debug, Clone)]
pub(crate) struct Panels {
    lines: Lines,
    depth: usize,
    cols: usize,
}

impl Panels {
    /// Lays out a matrix of `depth` rows and `cols` columns.
    pub(crate) fn new(matrix: Mat<'_>, (depth, cols): (usize, usize)) -> Self {
        Self { lines: Lines::Full(lay_out(matrix, (depth, cols))), depth, cols }
    }

    /// The same with its numbers rounded to half precision. They are multiplied in single precision.
    pub(crate) fn halved(matrix: Mat<'_>, (depth, cols): (usize, usize)) -> Self {
        Self { lines: Lines::Half(lay_out(matrix, (depth, cols))), depth, cols }
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn cols(&self) -> usize {
        self.cols
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.lines {
            Lines::Full(lines) => size_of_val(lines.as_slice()),
            Lines::Half(lines) => size_of_val(lines.as_slice()),
        }
    }
}

fn lay_out<L: Line>(matrix: Mat<'_>, (depth, cols): (usize, usize)) -> Vec<L> {
    let mut lines = vec![L::default(); cols.div_ceil(PANEL) * depth];
    if depth == 0 {
        return lines;
    }
    for (panel, lines) in lines.chunks_exact_mut(depth).enumerate() {
        let first = panel * PANEL;
        let count = PANEL.min(cols - first);
        for (row, line) in lines.iter_mut().enumerate() {
            let from = &matrix.data[row * matrix.row_stride + first * matrix.col_stride..];
            let mut values = [0.0; PANEL];
            if matrix.col_stride == 1 {
                values[..count].copy_from_slice(&from[..count]);
            } else {
                for (value, from) in values[..count].iter_mut().zip(from.iter().step_by(matrix.col_stride)) {
                    *value = *from;
                }
            }
            *line = L::of(values);
        }
    }
    lines
}

impl Tile<'_> {
    /// Adds `lhs`, whose rows are the tile's, times columns of `panels`, of which `first` is the tile's first; a panel begins there.
    pub(crate) fn add_panels(&mut self, lhs: Mat<'_>, panels: &Panels, first: usize) {
        let (rows, cols, depth) = (self.rows.clone(), self.cols.len(), panels.depth);
        assert!(first.is_multiple_of(PANEL) && first + cols <= panels.cols, "columns outside of the panels");
        assert!(lhs.col_stride == 1, "the left operand's rows must lie in line");
        if rows.is_empty() || depth == 0 {
            return;
        }
        assert!((rows.len() - 1) * lhs.row_stride + depth <= lhs.data.len(), "left operand too short");
        for start in (0..cols).step_by(PANEL) {
            let panel = (first + start) / PANEL;
            let lines = panel * depth..(panel + 1) * depth;
            let mut done = 0;
            while done < rows.len() {
                let mut sums = [[[0.0; LANES]; 2]; MOST_ROWS];
                let (left, at) = (rows.len() - done, done * lhs.row_stride);
                let lhs = Mat { data: &lhs.data[at..], ..lhs };
                let count = match &panels.lines {
                    Lines::Full(all) => multiply_full(lhs, left, &all[lines.clone()], &mut sums),
                    Lines::Half(all) => multiply_half(lhs, left, &all[lines.clone()], &mut sums),
                };
                for (row, sums) in sums[..count].iter().enumerate() {
                    let out = &mut self.row(rows.start + done + row)[start..cols.min(start + PANEL)];
                    out.iter_mut().zip(sums.as_flattened()).for_each(|(out, sum)| *out += sum);
                }
                done += count;
            }
        }
    }
}

/// The sums of `R` rows and `C` vectors of columns from vector `first` on.
///
/// # Safety
/// The machine has the instructions of `V`, and `lhs` reaches as far as `R` rows and the panel's depth ask.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn block<V: Vector, L: Line, const R: usize, const C: usize>(
    lhs: Mat<'_>,
    panel: &[L],
    first: usize,
    sums: &mut Sums,
) {
    // SAFETY: the caller's promises.
    unsafe {
        let mut held = [[V::splat(0.0); C]; R];
        for (step, line) in panel.iter().enumerate() {
            let parts: [V; C] = std::array::from_fn(|part| line.part(first + part));
            for (row, held) in held.iter_mut().enumerate() {
                let x = V::splat(*lhs.data.get_unchecked(row * lhs.row_stride + step));
                for (held, part) in held.iter_mut().zip(&parts) {
                    *held = x.mul_add(*part, *held);
                }
            }
        }
        for (held, sums) in held.iter().zip(sums) {
            for (part, held) in held.iter().enumerate() {
                held.store(&mut sums[first + part]);
            }
        }
    }
}

/// The sums of the first rows of `lhs`, as many as a block has; returns how many.
///
/// # Safety
/// The machine has the instructions of `V`, and `lhs` reaches as far as `rows` rows and the panel's depth ask.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn blocks<V: Vector, L: Line>(lhs: Mat<'_>, rows: usize, panel: &[L], sums: &mut Sums) -> usize {
    // SAFETY: the caller's promises; no block has more than `rows` rows.
    unsafe {
        match (V::BLOCK, rows) {
            ((12, 2), 12..) => {
                block::<V, L, 12, 2>(lhs, panel, 0, sums);
                12
            }
            ((6, 1), 6..) => {
                block::<V, L, 6, 1>(lhs, panel, 0, sums);
                block::<V, L, 6, 1>(lhs, panel, 1, sums);
                6
            }
            ((_, 2), 4..) => {
                block::<V, L, 4, 2>(lhs, panel, 0, sums);
                4
            }
            ((_, 1), 4..) => {
                block::<V, L, 4, 1>(lhs, panel, 0, sums);
                block::<V, L, 4, 1>(lhs, panel, 1, sums);
                4
            }
            (_, 2..) => {
                block::<V, L, 2, 2>(lhs, panel, 0, sums);
                2
            }
            _ => {
                block::<V, L, 1, 2>(lhs, panel, 0, sums);
                1
            }
        }
    }
}

/// Defines [`blocks`] for one kind of line and the widest instructions that the machine has.
macro_rules! multiply {
    ($name:ident, $line:ty) => {
        fn $name(lhs: Mat<'_>, rows: usize, panel: &[$line], sums: &mut Sums) -> usize {
            assert!(rows > 0 && (rows.min(MOST_ROWS) - 1) * lhs.row_stride + panel.len() <= lhs.data.len());
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512bw,avx2,fma")]
                #[expect(unsafe_code, reason = "called with the features that it enables")]
                fn avx512(lhs: Mat<'_>, rows: usize, panel: &[$line], sums: &mut Sums) -> usize {
                    // SAFETY: the features are there; the operand's length was checked above.
                    unsafe { blocks::<Avx512, _>(lhs, rows, panel, sums) }
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                #[expect(unsafe_code, reason = "called with the features that it enables")]
                fn avx2(lhs: Mat<'_>, rows: usize, panel: &[$line], sums: &mut Sums) -> usize {
                    // SAFETY: the features are there; the operand's length was checked above.
                    unsafe { blocks::<Avx2, _>(lhs, rows, panel, sums) }
                }
                if std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512dq")
                    && std::arch::is_x86_feature_detected!("avx512vl")
                    && std::arch::is_x86_feature_detected!("avx512bw")
                    && std::arch::is_x86_feature_detected!("fma")
                {
                    #[expect(
                        unsafe_code,
                        reason = "calls code compiled for features that were just detected"
                    )]
                    // SAFETY: every feature that `avx512` enables is present.
                    return unsafe { avx512(lhs, rows, panel, sums) };
                }
                if std::arch::is_x86_feature_detected!("avx2")
                    && std::arch::is_x86_feature_detected!("fma")
                    && std::arch::is_x86_feature_detected!("f16c")
                {
                    #[expect(
                        unsafe_code,
                        reason = "calls code compiled for features that were just detected"
                    )]
                    // SAFETY: every feature that `avx2` enables is present.
                    return unsafe { avx2(lhs, rows, panel, sums) };
                }
            }
            #[expect(unsafe_code, reason = "the kernel's signature")]
            // SAFETY: no instructions are asked for; the operand's length was checked above.
            unsafe {
                blocks::<Portable, _>(lhs, rows, panel, sums)
            }
        }
    };
}

multiply!(multiply_full, Full);
multiply!(multiply_half, Half);
