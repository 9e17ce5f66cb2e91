//! Linear layers and embedding tables.

use crate::{
    Result, Scope, Watch,
    cpu::{Mat, TileSize, for_tiles, is_cpu, matrix, view},
    watch::tick,
};
use candle_core::{DType, Tensor};

const TILE: TileSize = TileSize { rows: 64, cols: 256 };

/// y = x Wᵀ + b over rows: `(time, input)` to `(time, output)`.
#[derive(Debug, Clone)]
pub struct Linear {
    /// `(output, input)`, in the precision of the product.
    pub(crate) weight: Tensor,
    /// `(output)`, f32.
    pub(crate) bias: Tensor,
}

impl Linear {
    /// Reads `weight` and `bias`.
    pub fn load(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        let weight = scope.tensor("weight", &[output, input])?.to_dtype(scope.products())?;
        Ok(Self { weight, bias: scope.tensor("bias", &[output])? })
    }

    /// Reads `weight`; the layer has no bias.
    pub fn load_without_bias(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        let weight = scope.tensor("weight", &[output, input])?;
        let bias = weight.zeros_like()?.narrow(1, 0, 1)?.flatten_all()?;
        Ok(Self { weight: weight.to_dtype(scope.products())?, bias })
    }

    /// `weight` is `(output, input)`, `bias` is `(output)`.
    pub fn new(weight: Tensor, bias: Tensor) -> Self {
        Self { weight, bias }
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        if !(is_cpu(x) && is_cpu(&self.weight)) {
            tick(watch)?;
            let product = x.to_dtype(self.weight.dtype())?.matmul(&self.weight.t()?)?;
            return Ok(product.to_dtype(DType::F32)?.broadcast_add(&self.bias)?);
        }
        let ((rows, input), output) = (x.dims2()?, self.bias.dims1()?);
        let (values, weight, bias) = (view(x)?, view(&self.weight)?, view(&self.bias)?);
        let out = for_tiles(rows, output, TILE, watch, |tile| {
            let (rows, cols) = (tile.rows.clone(), tile.cols.clone());
            for row in rows.clone() {
                tile.row(row).copy_from_slice(&bias[cols.clone()]);
            }
            let lhs = Mat { data: &values[rows.start * input..], row_stride: input, col_stride: 1 };
            let rhs = Mat { data: &weight[cols.start * input..], row_stride: 1, col_stride: input };
            tile.add_product(cols, input, lhs, rhs);
        })?;
        matrix(out, rows, output)
    }

    /// The layer applied to one vector, `(input)` to `(output)`.
    pub fn forward_vector(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        Ok(self.forward(&x.unsqueeze(0)?, watch)?.squeeze(0)?)
    }
}

/// Rows of a table by index.
#[derive(Debug, Clone)]
pub struct Embedding {
    /// `(entries, width)`.
    table: Tensor,
}

impl Embedding {
    /// Reads `weight`.
    pub fn load(scope: &Scope<'_>, entries: usize, width: usize) -> Result<Self> {
        Ok(Self { table: scope.tensor("weight", &[entries, width])? })
    }

    /// `(len of ids)` to `(len, width)`. An index outside of the table is an error.
    pub fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        Ok(self.table.index_select(ids, 0)?)
    }

    /// The first `len` rows.
    pub fn first(&self, len: usize) -> Result<Tensor> {
        Ok(self.table.narrow(0, 0, len)?)
    }
}
