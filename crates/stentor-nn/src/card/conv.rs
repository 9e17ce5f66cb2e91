//! A convolution in one launch: along columns, along rows, or transposed.

use super::{
    kernel,
    launch::{Operand, argument, card_of, matrix, some_numbers},
};
use crate::{
    Activation, Result,
    implicit::{Geometry, Plan},
};
use candle_core::{
    CudaDevice, DType, Tensor, bail,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{
            CudaSlice, CudaView, DeviceRepr, LaunchConfig, PushKernelArg,
            sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
        },
    },
};
use half::f16;

/// Columns of an input, at most: places along time are signed numbers of 32 bits in the kernels.
const LONGEST: usize = 1 << 28;
/// Threads of a block of `conv_finish`.
const FINISH_THREADS: u32 = 256;

#[expect(unsafe_code, reason = "kernels take a layer's geometry as one argument")]
// SAFETY: it is plain numbers of 32 bits in the order of the kernels' own struct.
unsafe impl DeviceRepr for Geometry {}

/// A layer on a card.
#[derive(Debug, Clone)]
pub(crate) struct CardConv {
    plan: Plan,
    /// Multiprocessors of the card.
    processors: usize,
}

/// What is done to a layer's sums. There is an activation or a residual, not both.
#[derive(Clone, Copy)]
pub(crate) struct Added<'a> {
    /// `(channels)`.
    pub(crate) bias: Option<&'a Tensor>,
    pub(crate) activation: Activation<'a>,
    /// Of the output's shape.
    pub(crate) residual: Option<&'a Tensor>,
}

impl<'a> Added<'a> {
    pub(crate) fn new(bias: Option<&'a Tensor>, residual: Option<&'a Tensor>) -> Self {
        Self { bias, activation: Activation::Identity, residual }
    }
}

impl CardConv {
    pub(crate) fn new(plan: Plan) -> Result<Self> {
        let card = card_of(&plan.weight)?;
        let count = card.cuda_stream().context().attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        let processors = usize::try_from(count.w()?).unwrap_or(1).max(1);
        Ok(Self { plan, processors })
    }

    /// `x` is `(channels, time)`, or `(time, channels)` for a layer of rows.
    pub(crate) fn forward(&self, x: &Tensor, added: Added<'_>) -> Result<Tensor> {
        let x = x.to_dtype(DType::F32)?.contiguous()?;
        let residual = added.residual.map(Tensor::contiguous).transpose()?;
        let added = Added { residual: residual.as_ref(), ..added };
        let (a, b) = x.dims2()?;
        let (len, input) = if self.plan.by_rows { (a, b) } else { (b, a) };
        if input != self.plan.input() || len == 0 || len > LONGEST {
            return Err(candle_core::Error::Msg(format!("a convolution was given {a} x {b} numbers")).into());
        }
        let (slope, after) = match added.activation {
            Activation::Identity => (1.0, None),
            Activation::LeakyRelu(slope) => (slope, None),
            other => (1.0, Some(other)),
        };
        let out = self.launch(&x, added, Geometry { slope, ..self.plan.of_len(len) })?;
        match after {
            Some(activation) => super::activate(&out, activation, None),
            None => Ok(out),
        }
    }

    fn launch(&self, x: &Tensor, added: Added<'_>, geometry: Geometry) -> candle_core::Result<Tensor> {
        let (channels, total) = (self.plan.channels(), geometry.total as usize);
        let dims = if self.plan.by_rows { (total, channels) } else { (channels, total) };
        if total == 0 {
            return Tensor::zeros(dims, DType::F32, x.device());
        }
        let card = card_of(x)?;
        let bias = Operand::of_some(added.bias)?;
        let residual = Operand::of_some(added.residual)?;
        let fits =
            |operand: &Option<Operand<'_>>, count: usize| operand.as_ref().is_none_or(|o| o.len() == count);
        if !fits(&bias, channels) || !fits(&residual, channels * total) {
            bail!("a convolution to {channels} channels and {total} columns was given other operands");
        }
        let (input, weight) = (Operand::of(x)?, Operand::of(&self.plan.weight)?);
        let given = Given {
            x: input.numbers()?,
            bias: some_numbers(bias.as_ref())?,
            residual: some_numbers(residual.as_ref())?,
        };
        let out = match self.plan.weight.dtype() {
            DType::F16 => self.convolve(&card, &given, &weight.numbers::<f16>()?, geometry)?,
            _ => self.convolve(&card, &given, &weight.numbers::<f32>()?, geometry)?,
        };
        Ok(matrix(out, &card, dims.0, dims.1))
    }

    fn convolve<T>(
        &self,
        card: &CudaDevice,
        given: &Given<'_>,
        weight: &CudaView<'_, T>,
        geometry: Geometry,
    ) -> candle_core::Result<CudaSlice<f32>> {
        let (chosen, geometry) = self.plan.choose(geometry, self.processors);
        let (convolve, stream) = (kernel(card, chosen.name)?, card.cuda_stream());
        let config = LaunchConfig {
            grid_dim: chosen.grid(&geometry),
            block_dim: (chosen.threads, 1, 1),
            shared_mem_bytes: 0,
        };
        let products = geometry.rows as usize * geometry.columns as usize;
        let split = geometry.splits > 1;
        #[expect(unsafe_code, reason = "kernels are launched")]
        // SAFETY: the operands have the lengths that the geometry tells, which were checked or made so with the plan; the kernels read
        // and write within these and write every element of `out`, and of `parts` where sums are split. Null pointers stand for what
        // is not given, which the kernels look for.
        let out = unsafe {
            let out = card.alloc::<f32>(self.plan.channels() * geometry.total as usize)?;
            let parts = split.then(|| card.alloc::<f32>(products * geometry.splits as usize)).transpose()?;
            let mut launch = stream.launch_builder(&convolve);
            launch.arg(&given.x).arg(weight);
            argument!(launch, given.bias);
            argument!(launch, given.residual);
            launch.arg(&out);
            argument!(launch, parts);
            launch.arg(&geometry);
            launch.launch(config).w()?;
            if let Some(parts) = &parts {
                let finish = kernel(card, if self.plan.by_rows { "row_conv_finish" } else { "conv_finish" })?;
                let blocks = (products as u32).div_ceil(FINISH_THREADS);
                let config = LaunchConfig {
                    grid_dim: (blocks, 1, 1),
                    block_dim: (FINISH_THREADS, 1, 1),
                    shared_mem_bytes: 0,
                };
                let mut launch = stream.launch_builder(&finish);
                argument!(launch, given.bias);
                argument!(launch, given.residual);
                launch.arg(&out).arg(parts).arg(&geometry);
                launch.launch(config).w()?;
            }
            out
        };
        Ok(out)
    }
}

/// Operands of any precision's kernel.
struct Given<'a> {
    x: CudaView<'a, f32>,
    bias: Option<CudaView<'a, f32>>,
    residual: Option<CudaView<'a, f32>>,
}
