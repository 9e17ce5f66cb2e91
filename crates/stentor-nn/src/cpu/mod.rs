//! The CPU side: views of tensors as slices, tiled parallel loops, GEMM and vector maths.

mod block;
pub(crate) mod math;
mod panels;
mod scratch;
mod simd;
mod tiles;
mod vector;
mod view;
mod winograd;

pub(crate) use panels::{PANEL, Panels, Storage, Windows};
pub(crate) use scratch::{LINE, with_scratch};
pub(crate) use simd::{FUSED, simd};
pub use simd::{Instructions, compute_with_at_most, instructions};
pub(crate) use tiles::{
    Mat, Tile, TileSize, for_new_rows, for_rows, for_tiles, rows_at_once, written, zeroed,
};
pub(crate) use view::{View, is_cpu, matrix, view};
pub use view::{compute_without_kernels, has_kernels};
pub(crate) use winograd::{
    Input as WinogradInput, MOST_OUTPUTS, MOST_TAPS, Shape as WinogradShape, Winograd,
};
