//! Linear layers and embedding tables.

#[cfg(feature = "cuda")]
use crate::Activation;
use crate::{
    Result, Scope, Watch,
    cpu::{has_kernels, view},
    factor::{Factor, multiply},
    watch::tick,
};
use candle_core::{DType, Device, Tensor};
use std::ops::Range;
use stentor_types::Precision;

/// y = x Wᵀ + b over rows: `(time, input)` to `(time, output)`. On the CPU what becomes of a row does not depend on the others,
/// bit for bit.
#[derive(Debug, Clone)]
pub struct Linear {
    pub(crate) factor: Factor,
    /// `(output)`, f32.
    pub(crate) bias: Tensor,
}

impl Linear {
    /// Reads `weight` and `bias`.
    pub fn load(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        let weight = scope.tensor("weight", &[output, input])?;
        let factor = Factor::of_outputs(&weight, scope.products())?;
        Ok(Self { factor, bias: scope.tensor("bias", &[output])? })
    }

    /// Reads `weight`; the layer has no bias.
    pub fn load_without_bias(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        Self::load_stacked(scope, &[""], input, output)
    }

    /// Several layers without bias that see the same input, as one: reads `<name>.weight` of each, `(output, input)`.
    pub fn load_stacked(scope: &Scope<'_>, names: &[&str], input: usize, output: usize) -> Result<Self> {
        let values = scope.stacked(names, "weight", &[output, input])?;
        let all = names.len() * output;
        let factor = Factor::of_outputs(&scope.upload(values, &[all, input])?, scope.products())?;
        Ok(Self { factor, bias: scope.upload(vec![0.0; all], &[all])? })
    }

    /// Reads `bias` and a `weight` that is stored as `(input, output)`.
    pub fn load_transposed(scope: &Scope<'_>, input: usize, output: usize) -> Result<Self> {
        let weight = scope.tensor("weight", &[input, output])?;
        let factor = if has_kernels(weight.device()) {
            Factor::of_inputs(&weight, scope.products())?
        } else {
            // As other layers are stored, since in f16 the order of a product's sums depends on it.
            Factor::of_outputs(&weight.t()?.contiguous()?, scope.products())?
        };
        Ok(Self { factor, bias: scope.tensor("bias", &[output])? })
    }

    /// `weight` is `(output, input)`, `bias` is `(output)`.
    pub fn new(weight: &Tensor, bias: Tensor) -> Result<Self> {
        Ok(Self { factor: Factor::of_outputs(weight, Precision::F32)?, bias })
    }

    pub fn forward(&self, x: &Tensor, watch: &dyn Watch) -> Result<Tensor> {
        match &self.factor {
            Factor::Panels(panels) => {
                let ((rows, input), values, bias) = (x.dims2()?, view(x)?, view(&self.bias)?);
                let write = |_: usize, cols: Range<usize>, sums: &[f32], out: &mut [f32]| {
                    for ((out, sum), bias) in out.iter_mut().zip(sums).zip(&bias[cols]) {
                        *out = sum + bias;
                    }
                };
                multiply((&values, input, rows), panels, write, |_| (), watch)
            }
            Factor::Tensor(weight) => {
                tick(watch)?;
                let product = x.to_dtype(weight.dtype())?.matmul(weight)?;
                #[cfg(feature = "cuda")]
                if x.device().is_cuda() {
                    let (bias, identity) = (Some(&self.bias), Activation::Identity);
                    return crate::card::finish_rows(&product, bias, identity, None, DType::F32);
                }
                Ok(product.to_dtype(DType::F32)?.broadcast_add(&self.bias)?)
            }
        }
    }

    /// Weight, `(output, input)`, and bias, where the layer is not the CPU's.
    #[cfg(feature = "cuda")]
    pub(crate) fn stock_parts(&self) -> Result<Option<(Tensor, &Tensor)>> {
        match &self.factor {
            Factor::Panels(_) => Ok(None),
            Factor::Tensor(weight) => Ok(Some((weight.t()?, &self.bias))),
        }
    }

    pub fn device(&self) -> &Device {
        self.bias.device()
    }

    /// Bytes of the layer's numbers on its device.
    pub fn bytes(&self) -> u64 {
        self.factor.bytes() + (self.bias.elem_count() * self.bias.dtype().size_in_bytes()) as u64
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Unwatched, stock_test::assert_same};

    fn random(dims: &[usize]) -> Tensor {
        Tensor::randn(0f32, 0.1, dims, &Device::Cpu).unwrap()
    }

    /// Sizes that fill blocks, panels and tiles, and sizes that don't.
    #[test]
    fn a_row_comes_out_the_same_alone_and_among_others() {
        for (input, output) in [(1024, 200), (37, 7), (5, 3), (16, 4), (4100, 70)] {
            let (weight, bias, x) = (random(&[output, input]), random(&[output]), random(&[40, input]));
            let layer = Linear::new(&weight, bias.clone()).unwrap();
            let together = layer.forward(&x, &Unwatched).unwrap();
            let stock = x.matmul(&weight.t().unwrap()).unwrap().broadcast_add(&bias).unwrap();
            assert_same(&together, &stock);
            for (first, count) in [(0, 1), (3, 1), (10, 1), (1, 2), (4, 3), (0, 4), (5, 6), (9, 12), (2, 29)]
            {
                let alone = layer.forward(&x.narrow(0, first, count).unwrap(), &Unwatched).unwrap();
                let bits = |x: Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                let same = bits(alone) == bits(together.narrow(0, first, count).unwrap());
                assert!(same, "{count} rows from {first} of {input} to {output}");
            }
        }
    }

    #[test]
    fn half_precision_rounds_the_weights_and_nothing_else() {
        let (weight, bias, x) = (random(&[70, 300]), random(&[70]), random(&[15, 300]));
        let rounded = weight.to_dtype(DType::F16).unwrap();
        let exact = Linear::new(&rounded.to_dtype(DType::F32).unwrap(), bias.clone()).unwrap();
        let halved = Linear { factor: Factor::of_outputs(&weight, Precision::F16).unwrap(), bias };
        assert!(halved.bytes() < exact.bytes() * 2 / 3);
        let bits = |layer: &Linear| layer.forward(&x, &Unwatched).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(bits(&halved), bits(&exact));
    }
}
