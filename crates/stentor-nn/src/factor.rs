//! The matrix that a layer multiplies its rows by, laid out for the device it is on.

use crate::{
    Result, Watch,
    cpu::{Mat, PANEL, Panels, Storage, Tile, TileSize, for_tiles, is_cpu, matrix, view},
    weights::dtype,
};
use candle_core::Tensor;
use std::{ops::Range, sync::Arc};
use stentor_types::Precision;

/// Rows of a tile: what is shared by as many stays in the second-level cache.
const TILE_ROWS: usize = 192;
/// Columns of a tile.
const TILE_COLS: usize = 256;
/// Numbers of the factor in one tile where there are few rows, for which reading them is all the cost.
const FEW_ROWS_NUMBERS: usize = 1 << 17;
const FEW_ROWS: usize = 12;

/// A matrix `(depth, cols)`: rows of `depth` numbers become rows of `cols`.
#[derive(Debug, Clone)]
pub(crate) enum Factor {
    /// On the CPU.
    Panels(Arc<Panels>),
    /// On any other device, in the precision of the product.
    Tensor(Tensor),
}

impl Factor {
    /// Out of `(cols, depth)`, as linear layers are stored. On the CPU `products` is how the numbers are stored; they are multiplied
    /// in single precision.
    pub(crate) fn of_outputs(weight: &Tensor, products: Precision) -> Result<Self> {
        let (cols, depth) = weight.dims2()?;
        if !is_cpu(weight) {
            return Ok(Self::Tensor(weight.to_dtype(dtype(products))?.t()?));
        }
        let values = view(weight)?;
        Ok(Self::panels(Mat { data: &values, row_stride: 1, col_stride: depth }, (depth, cols), products))
    }

    /// Out of `(depth, cols)`.
    pub(crate) fn of_inputs(weight: &Tensor, products: Precision) -> Result<Self> {
        let (depth, cols) = weight.dims2()?;
        if !is_cpu(weight) {
            return Ok(Self::Tensor(weight.contiguous()?.to_dtype(dtype(products))?));
        }
        let values = view(weight)?;
        Ok(Self::panels(Mat { data: &values, row_stride: cols, col_stride: 1 }, (depth, cols), products))
    }

    fn panels(values: Mat<'_>, dims: (usize, usize), products: Precision) -> Self {
        let storage = match products {
            Precision::F32 => Storage::Single,
            Precision::F16 => Storage::Half,
            Precision::Int8 => Storage::Bytes,
        };
        Self::Panels(Arc::new(Panels::new(values, dims, storage)))
    }

    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Panels(panels) => panels.bytes() as u64,
            Self::Tensor(tensor) => (tensor.elem_count() * tensor.dtype().size_in_bytes()) as u64,
        }
    }
}

/// Rows that lie one after the other, `stride` numbers apart, times `panels`. `write` gets a row, a range of columns, their sums
/// and where they belong; `end` changes a finished tile while it is in cache.
pub(crate) fn multiply(
    (x, stride, rows): (&[f32], usize, usize),
    panels: &Panels,
    write: impl Fn(usize, Range<usize>, &[f32], &mut [f32]) + Sync,
    end: impl Fn(&mut Tile<'_>) + Sync,
    watch: &dyn Watch,
) -> Result<Tensor> {
    let out = for_tiles(rows, panels.cols(), tiles(rows, panels.depth()), watch, |tile| {
        let lhs = Mat { data: &x[tile.rows.start * stride..], row_stride: stride, col_stride: 1 };
        tile.put_products(lhs, (panels, tile.cols.start), &write);
        end(tile);
    })?;
    matrix(out, rows, panels.cols())
}

/// A grid over `rows` of products with a factor of this depth. What becomes of a row does not depend on the grid.
fn tiles(rows: usize, depth: usize) -> TileSize {
    if rows > FEW_ROWS {
        return TileSize { rows: TILE_ROWS, cols: TILE_COLS };
    }
    TileSize { rows: FEW_ROWS, cols: (FEW_ROWS_NUMBERS / depth.max(1)).max(1).next_multiple_of(PANEL) }
}
