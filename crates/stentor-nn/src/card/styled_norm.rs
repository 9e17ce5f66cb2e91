//! Instance norm with its affine part and the activation that follows, in one launch.

use super::{kernel, launch::Operand, numbers};
use crate::{Activation, Packing, Result};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp3, Layout, Shape, Tensor,
    backend::BackendStorage,
    bail,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{LaunchConfig, PushKernelArg},
    },
};

pub(super) const KERNEL: &str = "styled_norm";
/// Threads of a block; the kernel's `ROW_THREADS`.
const ROW_THREADS: u32 = 1024;

/// Whether the kernel has this activation.
pub(crate) fn can_style(activation: Activation<'_>) -> bool {
    matches!(activation, Activation::Identity | Activation::LeakyRelu(_) | Activation::Snake(_))
}

/// `x` is `(channels, columns)`, `styles` are `(sequences, style)`; gain and shift are a linear map of a style, `(2 * channels, style)` with
/// its bias.
pub(crate) fn styled_norm(
    x: &Tensor,
    (styles, weight, bias): (&Tensor, &Tensor, &Tensor),
    packing: &Packing,
    activation: Activation<'_>,
    eps: f32,
) -> Result<Tensor> {
    let (styles, bias) = (styles.contiguous()?, bias.contiguous()?);
    let (alphas, slope) = match activation {
        Activation::Snake(alphas) => (alphas.contiguous()?, None),
        Activation::LeakyRelu(slope) => (bias.clone(), Some(slope)),
        _ => (bias.clone(), Some(1.0)),
    };
    let norm = StyledNorm { packing, lens: packing.lens_on(x.device())?, styles, bias, slope, eps };
    Ok(x.contiguous()?.apply_op3_no_bwd(&weight.contiguous()?, &alphas, &norm)?)
}

struct StyledNorm<'a> {
    packing: &'a Packing,
    /// Its lengths on the card.
    lens: Tensor,
    styles: Tensor,
    bias: Tensor,
    /// Below zero, where there are no alphas.
    slope: Option<f32>,
    eps: f32,
}

impl CustomOp3 for StyledNorm<'_> {
    fn name(&self) -> &'static str {
        KERNEL
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        x_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
        alphas: &CudaStorage,
        alphas_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (card, shape) = (x.device(), x_layout.shape().clone());
        let (channels, columns) = shape.dims2()?;
        let (sequences, pitch) = (self.packing.count(), self.packing.pitch());
        let (x, weight) = (numbers(x, x_layout)?, numbers(weight, weight_layout)?);
        let (styles, bias) = (Operand::of(&self.styles)?, Operand::of(&self.bias)?);
        let style = styles.len() / sequences;
        let alphas = numbers(alphas, alphas_layout)?;
        let fits = columns == sequences * pitch && self.packing.lens().iter().all(|len| *len <= pitch);
        let styled = bias.len() == 2 * channels
            && styles.len() == sequences * style
            && weight.len() == bias.len() * style;
        if !fits || !styled || (self.slope.is_none() && alphas.len() != channels) {
            bail!("a norm of {channels} channels and {columns} columns was given other operands");
        }
        let (styles, bias) = (styles.numbers::<f32>()?, bias.numbers::<f32>()?);
        let lens = Operand::of(&self.lens)?;
        let lens = lens.numbers::<u32>()?;
        let kernel = kernel(card, KERNEL)?;
        let stream = card.cuda_stream();
        let (pitch, style) = (pitch as u32, style as u32);
        let (slope, none) = (self.slope.unwrap_or_default(), 0_u64);
        let config = LaunchConfig {
            grid_dim: (channels as u32, sequences as u32, 1),
            block_dim: (ROW_THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        #[expect(unsafe_code, reason = "a kernel is launched")]
        // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`; where it
        // is given a slope, its alphas are a null pointer, which it does not read.
        let out = unsafe {
            let out = card.alloc::<f32>(channels * columns)?;
            let mut launch = stream.launch_builder(&kernel);
            launch.arg(&x).arg(&styles).arg(&weight).arg(&bias);
            if self.slope.is_some() {
                launch.arg(&none)
            } else {
                launch.arg(&alphas)
            };
            launch.arg(&lens).arg(&out).arg(&pitch).arg(&style).arg(&slope).arg(&self.eps);
            launch.launch(config).w()?;
            out
        };
        Ok((CudaStorage::wrap_cuda_slice(out, card.clone()), shape))
    }
}
