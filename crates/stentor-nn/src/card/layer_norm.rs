//! Layer norm with its affine part and what follows it, in one launch.

use super::{
    kernel,
    launch::{Operand, argument, card_of, matrix, some_integers, some_numbers},
    pointwise::lens_of,
};
use crate::{Activation, Packing, Result, implicit::activation_code};
use candle_core::{
    DType, Tensor,
    cuda_backend::{
        CudaDType, WrapErr,
        cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg},
    },
};
use half::f16;

/// Threads of a block; the kernel's `LAYER_THREADS`.
const LAYER_THREADS: u32 = 256;

/// What is done to a norm while it is at hand.
pub(crate) struct AfterNorm<'a> {
    /// One without parameters of a channel.
    pub(crate) activation: Activation<'a>,
    /// Added to each row behind that.
    pub(crate) offset: Option<&'a Tensor>,
    /// Rows between its sequences come out as zeros.
    pub(crate) packing: Option<&'a Packing>,
    /// Single or half precision.
    pub(crate) dtype: DType,
}

impl AfterNorm<'_> {
    pub(crate) fn nothing(dtype: DType) -> Self {
        Self { activation: Activation::Identity, offset: None, packing: None, dtype }
    }
}

/// Layer norm of the rows of `x` with `gain`, `shift` and `eps`, and what is done to it.
pub(crate) fn layer_norm(x: &Tensor, norm: (&Tensor, &Tensor, f32), after: &AfterNorm<'_>) -> Result<Tensor> {
    match after.dtype {
        DType::F16 => normalize::<f16>("layer_norm_to_half", x, norm, after),
        _ => normalize::<f32>("layer_norm", x, norm, after),
    }
}

fn normalize<T: CudaDType + DeviceRepr>(
    name: &'static str,
    x: &Tensor,
    (gain, shift, eps): (&Tensor, &Tensor, f32),
    after: &AfterNorm<'_>,
) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let (gain, shift) = (gain.contiguous()?, shift.contiguous()?);
    let offset = after.offset.map(Tensor::contiguous).transpose()?;
    let (card, input) = (card_of(&x)?, Operand::of(&x)?);
    let (gain, shift, offset) =
        (Operand::of(&gain)?, Operand::of(&shift)?, Operand::of_some(offset.as_ref())?);
    let fits = rows > 0
        && offset.as_ref().is_none_or(|offset| offset.len() == columns)
        && after.packing.is_none_or(|packing| packing.count() * packing.pitch() == rows);
    let (Some((code, slope)), true, true) =
        (activation_code(after.activation), fits, gain.len() == columns && shift.len() == columns)
    else {
        let message = format!("a norm of {rows} rows of {columns} numbers was given other operands");
        return Err(candle_core::Error::Msg(message).into());
    };
    let (wide, pitch) = (columns as u32, after.packing.map_or(1, Packing::pitch) as u32);
    let config =
        LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (LAYER_THREADS, 1, 1), shared_mem_bytes: 0 };
    let lens = lens_of(after.packing, x.device())?;
    let lens = Operand::of_some(lens.as_ref())?;
    let lens = some_integers(lens.as_ref())?;
    let (numbers, gain, shift) = (input.numbers::<f32>()?, gain.numbers::<f32>()?, shift.numbers::<f32>()?);
    let offset = some_numbers(offset.as_ref())?;
    let (function, stream) = (kernel(&card, name)?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`, whose numbers are
    // those that the kernel of this name writes.
    let out = unsafe {
        let out = card.alloc::<T>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers).arg(&gain).arg(&shift);
        argument!(launch, offset);
        argument!(launch, lens);
        launch.arg(&out).arg(&wide).arg(&pitch).arg(&code).arg(&slope).arg(&eps);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}

/// `product` plus `bias` plus `other`, and the layer norm of that, in the precision of `product`.
pub(crate) fn add_layer_norm(
    product: &Tensor,
    (bias, other): (Option<&Tensor>, &Tensor),
    norm: (&Tensor, &Tensor, f32),
) -> Result<(Tensor, Tensor)> {
    match product.dtype() {
        DType::F16 => add_and_normalize::<f16>("add_layer_norm_halves", product, (bias, other), norm),
        _ => add_and_normalize::<f32>("add_layer_norm", product, (bias, other), norm),
    }
}

fn add_and_normalize<T: CudaDType + DeviceRepr>(
    name: &'static str,
    product: &Tensor,
    (bias, other): (Option<&Tensor>, &Tensor),
    (gain, shift, eps): (&Tensor, &Tensor, f32),
) -> Result<(Tensor, Tensor)> {
    let (product, (rows, columns)) = (product.contiguous()?, product.dims2()?);
    let (other, gain, shift) = (other.contiguous()?, gain.contiguous()?, shift.contiguous()?);
    let (card, input) = (card_of(&product)?, Operand::of(&product)?);
    let (bias, other) = (Operand::of_some(bias)?, Operand::of(&other)?);
    let (gain, shift) = (Operand::of(&gain)?, Operand::of(&shift)?);
    let fits = bias.as_ref().is_none_or(|bias| bias.len() == columns) && other.len() == rows * columns;
    if rows == 0 || !fits || gain.len() != columns || shift.len() != columns {
        let message = format!("a sum of {rows} rows of {columns} numbers was given other operands");
        return Err(candle_core::Error::Msg(message).into());
    }
    let wide = columns as u32;
    let config =
        LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (LAYER_THREADS, 1, 1), shared_mem_bytes: 0 };
    let (numbers, other) = (input.numbers::<T>()?, other.numbers::<f32>()?);
    let (gain, shift, bias) = (gain.numbers::<f32>()?, shift.numbers::<f32>()?, some_numbers(bias.as_ref())?);
    let (function, stream) = (kernel(&card, name)?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of both outputs; the
    // product and its norm are of the numbers that the kernel of this name has.
    let (sum, out) = unsafe {
        let (sum, out) = (card.alloc::<f32>(rows * columns)?, card.alloc::<T>(rows * columns)?);
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers);
        argument!(launch, bias);
        launch.arg(&other).arg(&gain).arg(&shift).arg(&sum).arg(&out).arg(&wide).arg(&eps);
        launch.launch(config).w()?;
        (sum, out)
    };
    Ok((matrix(sum, &card, rows, columns), matrix(out, &card, rows, columns)))
}
