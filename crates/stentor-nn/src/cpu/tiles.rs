//! Parallel loops over a matrix, tile by tile, and GEMM into a tile.
//!
//! The grid depends on the matrix alone, and each tile is computed by one thread with a single-threaded GEMM: results are
//! the same to the bit whatever the number of threads. All aliasing of the output lives in this file.

use crate::{NnError, Result, Watch};
use gemm::{Parallelism, gemm};
use rayon::prelude::*;
use std::{
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

/// The largest tile of a grid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TileSize {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

/// A strided operand of a matrix product, starting at the first element of `data`.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    pub(crate) data: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

/// A rectangle of an output matrix that one thread owns for the time being.
pub(crate) struct Tile<'a> {
    /// The element at the first row and first column of the tile.
    base: *mut f32,
    stride: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
    /// Which rows hold nothing yet; none if it is empty. A row is zeroed when it is first asked for, since whoever asks then writes it
    /// while it is in the nearest cache; a whole tile would push everything else out of the next.
    blank: Vec<bool>,
    owner: PhantomData<&'a mut [f32]>,
}

impl<'a> Tile<'a> {
    /// All of a dense row-major matrix.
    pub(crate) fn whole(data: &'a mut [f32], cols: usize) -> Self {
        let rows = data.len() / cols;
        Self {
            base: data.as_mut_ptr(),
            stride: cols,
            rows: 0..rows,
            cols: 0..cols,
            blank: Vec::new(),
            owner: PhantomData,
        }
    }

    /// The tile's part of a row, which is counted in the whole matrix.
    pub(crate) fn row(&mut self, row: usize) -> &mut [f32] {
        assert!(self.rows.contains(&row), "row {row} is outside of the tile");
        let index = row - self.rows.start;
        let blank = self.blank.get_mut(index).is_some_and(std::mem::take);
        #[expect(unsafe_code, reason = "tiles of one matrix are disjoint but not contiguous")]
        // SAFETY: the row is inside the tile, which is exclusively borrowed, and initialised unless it is blank.
        unsafe {
            let start = self.base.add(index * self.stride);
            if blank {
                start.write_bytes(0, self.cols.len());
            }
            std::slice::from_raw_parts_mut(start, self.cols.len())
        }
    }

    /// Writes a row without zeroing it before: `write` gets its room, whatever that holds, and returns all of it as numbers.
    pub(crate) fn fill_row(
        &mut self,
        row: usize,
        write: impl for<'b> FnOnce(&'b mut [MaybeUninit<f32>]) -> &'b mut [f32],
    ) {
        assert!(self.rows.contains(&row), "row {row} is outside of the tile");
        let (index, len) = (row - self.rows.start, self.cols.len());
        #[expect(unsafe_code, reason = "tiles of one matrix are disjoint but not contiguous")]
        // SAFETY: the row is inside the tile, which is exclusively borrowed.
        let room = unsafe { std::slice::from_raw_parts_mut(self.base.add(index * self.stride).cast(), len) };
        let place: *const MaybeUninit<f32> = room.as_ptr();
        let written = write(room);
        assert!(std::ptr::eq(written.as_ptr().cast(), place) && written.len() == len, "not all of row {row}");
        if let Some(blank) = self.blank.get_mut(index) {
            *blank = false;
        }
    }

    /// Zeroes every row that is still blank.
    fn begin_all(&mut self) {
        for row in self.rows.clone() {
            self.row(row);
        }
    }

    /// Adds `lhs` times `rhs` to the columns `cols` (counted in the whole matrix) of every row of the tile; `depth` is the
    /// length of the products' sums.
    pub(crate) fn add_product(&mut self, cols: Range<usize>, depth: usize, lhs: Mat<'_>, rhs: Mat<'_>) {
        let (m, n) = (self.rows.len(), cols.len());
        if m == 0 || n == 0 || depth == 0 {
            return;
        }
        assert!(cols.start >= self.cols.start && cols.end <= self.cols.end, "columns outside of the tile");
        assert!(
            (m - 1) * lhs.row_stride + (depth - 1) * lhs.col_stride < lhs.data.len(),
            "left operand too short"
        );
        assert!(
            (depth - 1) * rhs.row_stride + (n - 1) * rhs.col_stride < rhs.data.len(),
            "right operand too short"
        );
        self.begin_all();
        #[expect(unsafe_code, reason = "the gemm crate takes raw pointers")]
        // SAFETY: the output lies inside this exclusively borrowed, initialised tile; both operands were checked to
        // reach as far as the strides ask, and cannot overlap the output, which is borrowed exclusively.
        unsafe {
            gemm(
                m,
                n,
                depth,
                self.base.add(cols.start - self.cols.start),
                1,
                self.stride as isize,
                true,
                lhs.data.as_ptr(),
                lhs.col_stride as isize,
                lhs.row_stride as isize,
                rhs.data.as_ptr(),
                rhs.col_stride as isize,
                rhs.row_stride as isize,
                1.0,
                1.0,
                false,
                false,
                false,
                Parallelism::None,
            );
        }
    }
}

/// A pointer that threads share; each uses the elements of its own tile only.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

#[expect(unsafe_code, reason = "threads write disjoint tiles of one buffer")]
// SAFETY: the pointer is used by `for_tiles` only, which gives each index of the grid its own rectangle.
unsafe impl Sync for Shared {}

impl Shared {
    /// Hands out a rectangle of the matrix with `stride` columns, all of it blank.
    #[expect(unsafe_code, reason = "makes the rectangle of one grid index out of the shared buffer")]
    /// # Safety
    /// The rectangle is inside the buffer and no other live tile overlaps it.
    unsafe fn tile<'a>(self, stride: usize, rows: Range<usize>, cols: Range<usize>) -> Tile<'a> {
        // SAFETY: the caller's promise.
        let base = unsafe { self.0.add(rows.start * stride + cols.start) };
        Tile { base, stride, blank: vec![true; rows.len()], rows, cols, owner: PhantomData }
    }
}

/// Makes a dense `rows` x `cols` matrix: calls `fill` for every tile of the grid, zeroed, in parallel, with a tick after each.
pub(crate) fn for_tiles(
    rows: usize,
    cols: usize,
    size: TileSize,
    watch: &dyn Watch,
    fill: impl Fn(&mut Tile<'_>) + Sync,
) -> Result<Vec<f32>> {
    let mut out: Vec<f32> = Vec::with_capacity(rows * cols);
    let shared = Shared(out.as_mut_ptr());
    let stopped = AtomicBool::new(false);
    let grid_rows = rows.div_ceil(size.rows);
    let run = |index: usize| {
        if stopped.load(Ordering::Relaxed) {
            return;
        }
        let part = |i: usize, step: usize, end: usize| i * step..((i + 1) * step).min(end);
        let row_range = part(index % grid_rows, size.rows, rows);
        let col_range = part(index / grid_rows, size.cols, cols);
        let all = &shared;
        #[expect(unsafe_code, reason = "each index of the grid gets its own rectangle")]
        // SAFETY: grid rectangles are disjoint, inside the capacity reserved above, and visited once.
        let mut tile = unsafe { all.tile(cols, row_range, col_range) };
        fill(&mut tile);
        tile.begin_all();
        if !watch.tick() {
            stopped.store(true, Ordering::Relaxed);
        }
    };
    (0..grid_rows * cols.div_ceil(size.cols)).into_par_iter().with_max_len(1).for_each(run);
    if stopped.into_inner() {
        return Err(NnError::Stopped);
    }
    #[expect(unsafe_code, reason = "the vector's elements were written through tiles")]
    // SAFETY: the grid covers the matrix, and no row of a tile was left blank.
    unsafe {
        out.set_len(rows * cols);
    }
    Ok(out)
}

/// The room as numbers.
///
/// # Safety
/// All of it has been written.
#[expect(unsafe_code, reason = "nothing but the caller knows")]
pub(crate) unsafe fn written(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    // SAFETY: the caller's promise; both have the same layout.
    unsafe { &mut *(std::ptr::from_mut(room) as *mut [f32]) }
}

/// Numbers as room for others.
///
/// # Safety
/// Nothing but numbers is written.
#[expect(unsafe_code, reason = "nothing but the caller knows")]
pub(crate) unsafe fn room(numbers: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the caller's promise; both have the same layout.
    unsafe { &mut *(std::ptr::from_mut(numbers) as *mut [MaybeUninit<f32>]) }
}

/// Zeros in all of the room.
pub(crate) fn zeroed(room: &mut [MaybeUninit<f32>]) -> &mut [f32] {
    room.fill(MaybeUninit::new(0.0));
    #[expect(unsafe_code, reason = "nothing but this knows")]
    // SAFETY: all of it was just written.
    unsafe {
        written(room)
    }
}

/// Makes a dense matrix row by row, in parallel: `fill` gets each row's index and its room, see [`Tile::fill_row`].
pub(crate) fn for_new_rows(
    rows: usize,
    cols: usize,
    watch: &dyn Watch,
    fill: impl for<'b> Fn(usize, &'b mut [MaybeUninit<f32>]) -> &'b mut [f32] + Sync,
) -> Result<Vec<f32>> {
    for_tiles(rows, cols, rows_at_once(rows, cols), watch, |tile| {
        for row in tile.rows.clone() {
            tile.fill_row(row, |room| fill(row, room));
        }
    })
}

/// Makes a dense matrix row by row, in parallel: `fill` gets each row's index and its zeroed elements.
pub(crate) fn for_rows(
    rows: usize,
    cols: usize,
    watch: &dyn Watch,
    fill: impl Fn(usize, &mut [f32]) + Sync,
) -> Result<Vec<f32>> {
    for_tiles(rows, cols, rows_at_once(rows, cols), watch, |tile| {
        for row in tile.rows.clone() {
            fill(row, tile.row(row));
        }
    })
}

/// Tiles of whole rows that are worth a task.
pub(crate) fn rows_at_once(rows: usize, cols: usize) -> TileSize {
    const ELEMENTS_PER_TASK: usize = 1 << 16;
    TileSize { rows: (ELEMENTS_PER_TASK / cols.max(1)).clamp(1, rows.max(1)), cols: cols.max(1) }
}
