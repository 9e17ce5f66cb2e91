//! Layer norm with its affine part and what follows it, in one launch.

use super::{
    kernel,
    launch::{Operand, argument, card_of, matrix, some_numbers},
};
use crate::{Activation, Result, implicit::activation_code};
use candle_core::{
    Tensor,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{LaunchConfig, PushKernelArg},
    },
};

/// Threads of a block; the kernel's `LAYER_THREADS`.
const LAYER_THREADS: u32 = 256;

/// Layer norm of the rows of `x` with `gain`, `shift` and `eps`, then the activation, which must be one without parameters of a channel, then
/// `offset` added to each row.
pub(crate) fn layer_norm(
    x: &Tensor,
    (gain, shift, eps): (&Tensor, &Tensor, f32),
    activation: Activation<'_>,
    offset: Option<&Tensor>,
) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let (gain, shift) = (gain.contiguous()?, shift.contiguous()?);
    let offset = offset.map(Tensor::contiguous).transpose()?;
    let (card, input) = (card_of(&x)?, Operand::of(&x)?);
    let (gain, shift, offset) =
        (Operand::of(&gain)?, Operand::of(&shift)?, Operand::of_some(offset.as_ref())?);
    let code = activation_code(activation);
    let fits = rows > 0 && offset.as_ref().is_none_or(|offset| offset.len() == columns);
    let (Some((code, slope)), true, true) = (code, fits, gain.len() == columns && shift.len() == columns)
    else {
        let message = format!("a norm of {rows} rows of {columns} numbers was given other operands");
        return Err(candle_core::Error::Msg(message).into());
    };
    let wide = columns as u32;
    let config =
        LaunchConfig { grid_dim: (rows as u32, 1, 1), block_dim: (LAYER_THREADS, 1, 1), shared_mem_bytes: 0 };
    let (numbers, gain, shift) = (input.numbers::<f32>()?, gain.numbers::<f32>()?, shift.numbers::<f32>()?);
    let offset = some_numbers(offset.as_ref())?;
    let (function, stream) = (kernel(&card, "layer_norm")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
    let out = unsafe {
        let out = card.alloc::<f32>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers).arg(&gain).arg(&shift);
        argument!(launch, offset);
        launch.arg(&out).arg(&wide).arg(&code).arg(&slope).arg(&eps);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}
