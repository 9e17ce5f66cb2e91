//! The kernel of our matrix products: blocks of sums that stay in registers, for each instruction set.
//!
//! Every sum runs over its depth in order, whatever the number of rows: what becomes of a row does not depend on the others.

use super::{
    simd::widest,
    tiles::Mat,
    vector::{LANES, Vector, fetch_line},
};
use half::f16;

/// Columns of a block.
pub(super) const COLS: usize = 2 * LANES;
/// Products that are summed one after the other. Longer sums are sums of such, which keeps their rounding small.
const STEPS_IN_A_ROW: usize = 128;
/// Rows of the largest block of any instruction set.
pub(super) const MOST_ROWS: usize = 12;

/// How many steps ahead operands are fetched that lie as they are met.
const WEIGHTS_AHEAD: usize = 64;
const LINES_AHEAD: usize = 8;

/// Panels that one or two rows meet at once, at most.
pub(super) const MOST_PANELS: usize = 4;

/// Where a block's sums go: row after row, each of as many panels as were multiplied. One or two rows can take several.
pub(super) type Sums = [[f32; LANES]; 2 * MOST_ROWS];

/// The right operand of blocks: `panels` one after the other, each `segments` times `depth` rows of [`COLS`] numbers. Rows begin
/// `stride` numbers after the one before, segments `shift` numbers, panels `next`.
pub(super) struct Right<'a, T> {
    pub(super) data: &'a [T],
    pub(super) panels: usize,
    pub(super) next: usize,
    pub(super) segments: usize,
    pub(super) shift: usize,
    pub(super) depth: usize,
    pub(super) stride: usize,
}

impl<T> Right<'_, T> {
    /// Asks for its first lines to be brought near.
    pub(super) fn fetch(&self) {
        for step in 0..LINES_AHEAD.min(self.depth) {
            let line = self.data.as_ptr().wrapping_add(step * self.stride);
            fetch_line(line);
            fetch_line(line.wrapping_add(LANES));
        }
    }

    /// Steps of the sums.
    fn steps(&self) -> usize {
        self.segments * self.depth
    }

    /// How far the data is read.
    pub(super) fn reach(&self) -> usize {
        (self.panels - 1) * self.next
            + (self.segments - 1) * self.shift
            + (self.depth - 1) * self.stride
            + COLS
    }
}

/// A number as the right operand stores it.
#[expect(unsafe_code, reason = "part of the kernel's loop")]
pub(super) trait Number: Copy {
    /// # Safety
    /// The machine has the instructions of `V`.
    unsafe fn load<V: Vector>(from: &[Self; LANES]) -> V;
}

#[expect(unsafe_code, clippy::inline_always, reason = "part of the kernel's loop")]
impl Number for f32 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: &[Self; LANES]) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    }
}

#[expect(unsafe_code, clippy::inline_always, reason = "part of the kernel's loop")]
impl Number for f16 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: &[Self; LANES]) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::of_halves(from) }
    }
}

#[expect(unsafe_code, clippy::inline_always, reason = "part of the kernel's loop")]
impl Number for i8 {
    #[inline(always)]
    unsafe fn load<V: Vector>(from: &[Self; LANES]) -> V {
        // SAFETY: the caller's promise.
        unsafe { V::of_bytes(from) }
    }
}

/// The sums of `R` rows and `C` vectors of columns from vector `first` on. Rows of `lhs` are neighbours if `NEIGHBOURS`, those of the sums
/// are `S` vectors long.
///
/// # Safety
/// The machine has the instructions of `V`; `lhs` reaches as far as `R` rows and the steps of `right` ask, `right.data` as far as
/// it says; `R` times `S` vectors are no more than there are sums.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn block<
    V: Vector,
    T: Number,
    const R: usize,
    const C: usize,
    const S: usize,
    const NEIGHBOURS: bool,
>(
    lhs: Mat<'_>,
    right: &Right<'_, T>,
    first: usize,
    sums: &mut [[f32; LANES]],
) {
    // SAFETY: the caller's promises.
    unsafe {
        let sums = &mut *sums.as_mut_ptr().cast::<[[[f32; LANES]; S]; R]>();
        let mut kept = false;
        for segment in 0..right.segments {
            for done in (0..right.depth).step_by(STEPS_IN_A_ROW) {
                let x = lhs.data.as_ptr().add((segment * right.depth + done) * lhs.col_stride);
                let line =
                    right.data.as_ptr().add(segment * right.shift + done * right.stride + first * LANES);
                let steps = STEPS_IN_A_ROW.min(right.depth - done);
                let (left, data) = ((x, lhs.row_stride, lhs.col_stride), (line, right.stride, right.next));
                let held = held::<V, T, R, C, NEIGHBOURS>(left, data, steps);
                // By index, so that every trip is known when it is compiled: else the sums leave their registers.
                for row in 0..R {
                    for col in 0..C {
                        let (held, sum) = (held[row][col], &mut sums[row][first + col]);
                        let all = if kept { held.add(V::load(sum)) } else { held };
                        all.store(sum);
                    }
                }
                kept = true;
            }
        }
    }
}

/// Some steps of a block's sums, which stay in registers.
///
/// # Safety
/// As of [`block`], whose operands begin at the pointers.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
unsafe fn held<V: Vector, T: Number, const R: usize, const C: usize, const NEIGHBOURS: bool>(
    (mut x, row_stride, col_stride): (*const f32, usize, usize),
    (mut line, stride, next): (*const T, usize, usize),
    steps: usize,
) -> [[V; C]; R] {
    let row_stride = if NEIGHBOURS { 1 } else { row_stride };
    // SAFETY: the caller's promises.
    unsafe {
        let mut held = [[V::splat(0.0); C]; R];
        // Each address is one of these and a small multiple of the stride; else each is computed from the one before.
        let mut thirds: [_; MOST_ROWS / 3] =
            std::array::from_fn(|third| x.wrapping_add(3 * third * row_stride));
        for _ in 0..steps {
            if NEIGHBOURS {
                fetch_line(x.wrapping_add(WEIGHTS_AHEAD * col_stride));
            }
            if R == MOST_ROWS {
                fetch_line(line.wrapping_add(LINES_AHEAD * stride));
                fetch_line(line.wrapping_add(LINES_AHEAD * stride + LANES));
            }
            let parts: [V; C] =
                std::array::from_fn(|part| T::load(&*line.add(part / 2 * next + part % 2 * LANES).cast()));
            for (row, held) in held.iter_mut().enumerate() {
                let x = V::splat(*thirds[row / 3].add(row % 3 * row_stride));
                for (held, part) in held.iter_mut().zip(&parts) {
                    *held = x.mul_add(*part, *held);
                }
            }
            x = x.wrapping_add(col_stride);
            for third in &mut thirds {
                *third = third.wrapping_add(col_stride);
            }
            line = line.wrapping_add(stride);
        }
        held
    }
}

/// The sums of the first rows of `lhs` and the first panels of `right`, as many as a block has; returns how many of both.
///
/// # Safety
/// As of [`block`], for `rows` rows and all panels.
#[inline(always)]
#[expect(clippy::inline_always, unsafe_code, reason = "it must be compiled for the instructions of `V`")]
pub(super) unsafe fn blocks<V: Vector>(
    lhs: Mat<'_>,
    rows: usize,
    right: &Right<'_, impl Number>,
    sums: &mut [[f32; LANES]],
) -> (usize, usize) {
    // SAFETY: the caller's promises; no block has more than `rows` rows or more panels than there are.
    unsafe {
        match (V::BLOCK, rows, V::PANELS.min(right.panels)) {
            ((12, 2), 12.., _) if lhs.row_stride == 1 => {
                block::<V, _, 12, 2, 2, true>(lhs, right, 0, sums);
                (12, 1)
            }
            ((12, 2), 12.., _) => {
                block::<V, _, 12, 2, 2, false>(lhs, right, 0, sums);
                (12, 1)
            }
            ((6, 1), 6.., _) => {
                block::<V, _, 6, 1, 2, false>(lhs, right, 0, sums);
                block::<V, _, 6, 1, 2, false>(lhs, right, 1, sums);
                (6, 1)
            }
            ((_, 2), 4.., _) => {
                block::<V, _, 4, 2, 2, false>(lhs, right, 0, sums);
                (4, 1)
            }
            ((4.., 1), 4.., _) => {
                block::<V, _, 4, 1, 2, false>(lhs, right, 0, sums);
                block::<V, _, 4, 1, 2, false>(lhs, right, 1, sums);
                (4, 1)
            }
            ((2, 1), 2.., _) => {
                block::<V, _, 2, 1, 2, false>(lhs, right, 0, sums);
                block::<V, _, 2, 1, 2, false>(lhs, right, 1, sums);
                (2, 1)
            }
            (_, 2.., 4..) => {
                block::<V, _, 2, 8, 8, false>(lhs, right, 0, sums);
                (2, 4)
            }
            (_, 2.., _) => {
                block::<V, _, 2, 2, 2, false>(lhs, right, 0, sums);
                (2, 1)
            }
            (_, _, 4..) => {
                block::<V, _, 1, 8, 8, false>(lhs, right, 0, sums);
                (1, 4)
            }
            (_, _, 2..) => {
                block::<V, _, 1, 4, 4, false>(lhs, right, 0, sums);
                (1, 2)
            }
            _ => {
                block::<V, _, 1, 2, 2, false>(lhs, right, 0, sums);
                (1, 1)
            }
        }
    }
}

/// Defines [`blocks`] for one kind of number and the widest instructions that the machine has. Panics if an operand is too short.
macro_rules! multiply {
    ($name:ident, $number:ty) => {
        pub(super) fn $name(
            lhs: Mat<'_>,
            rows: usize,
            right: &Right<'_, $number>,
            sums: &mut [[f32; LANES]],
        ) -> (usize, usize) {
            widest! {
                fn run(lhs: Mat<'_>, rows: usize, right: &Right<'_, $number>, sums: &mut [[f32; LANES]]) -> (usize, usize) => blocks
            }
            assert!(sums.len() >= 2 * right.panels * rows.min(MOST_ROWS), "no room for the sums");
            assert!(rows > 0 && right.panels > 0 && right.steps() > 0, "nothing to multiply");
            assert!(right.reach() <= right.data.len(), "right operand too short");
            let last = (rows.min(MOST_ROWS) - 1) * lhs.row_stride + (right.steps() - 1) * lhs.col_stride;
            assert!(last < lhs.data.len(), "left operand too short");
            #[expect(unsafe_code, reason = "the kernel's signature")]
            // SAFETY: the operands' lengths were checked above.
            unsafe {
                run(lhs, rows, right, sums)
            }
        }
    };
}

multiply!(multiply_singles, f32);
multiply!(multiply_halves, f16);
multiply!(multiply_bytes, i8);
