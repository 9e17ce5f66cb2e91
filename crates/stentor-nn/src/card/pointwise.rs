//! What surrounds convolutions, in one launch each (`pointwise.cu`).

use super::{
    kernel,
    launch::{Operand, argument, card_of, matrix, some_integers, some_numbers},
};
use crate::{Activation, Packing, Result, implicit::activation_code};
use candle_core::{
    DType, Device, Tensor,
    cuda_backend::{
        CudaDType, WrapErr,
        cudarc::driver::{DeviceRepr, LaunchConfig, PushKernelArg},
    },
};
use half::f16;

/// Threads of a block; the kernels' `POINT_THREADS`.
const POINT_THREADS: u32 = 256;

/// Operands that do not belong together.
fn refused<T>(what: String) -> Result<T> {
    Err(candle_core::Error::Msg(what).into())
}

/// One thread for each of so many numbers, which 32 bits must be able to count.
fn threads_for(count: usize) -> Result<(u32, LaunchConfig)> {
    let Some(count) = u32::try_from(count).ok().filter(|&count| count <= u32::MAX - POINT_THREADS) else {
        return refused(format!("a card's kernel cannot count {count} numbers"));
    };
    let (grid_dim, block_dim) = ((count.div_ceil(POINT_THREADS).max(1), 1, 1), (POINT_THREADS, 1, 1));
    Ok((count, LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 }))
}

/// Lengths of a packing's sequences on the card, where there are gaps.
pub(super) fn lens_of(packing: Option<&Packing>, device: &Device) -> Result<Option<Tensor>> {
    packing.filter(|packing| packing.has_gaps()).map(|packing| packing.lens_on(device)).transpose()
}

/// An activation of `(channels, columns)`; with a packing, the columns that are nobody's come out as zeros.
pub(crate) fn activate(x: &Tensor, activation: Activation<'_>, packing: Option<&Packing>) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let alphas = match activation {
        Activation::Snake(alphas) => Some(alphas.contiguous()?),
        _ => None,
    };
    let (code, slope) = activation_code(activation).unwrap_or_default();
    let (card, input, parameters) = (card_of(&x)?, Operand::of(&x)?, Operand::of_some(alphas.as_ref())?);
    let fits = packing.is_none_or(|packing| packing.count() * packing.pitch() == columns);
    if !fits || parameters.as_ref().is_some_and(|alphas| alphas.len() != rows) {
        return refused(format!(
            "an activation of {rows} channels and {columns} columns was given other operands"
        ));
    }
    let (count, config) = threads_for(rows * columns)?;
    let (wide, pitch) = (columns as u32, packing.map_or(1, Packing::pitch) as u32);
    let lens = lens_of(packing, x.device())?;
    let lens = Operand::of_some(lens.as_ref())?;
    let lens = some_integers(lens.as_ref())?;
    let (numbers, alphas) = (input.numbers::<f32>()?, some_numbers(parameters.as_ref())?);
    let (function, stream) = (kernel(&card, "activate")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
    let out = unsafe {
        let out = card.alloc::<f32>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers);
        argument!(launch, alphas);
        argument!(launch, lens);
        launch.arg(&out).arg(&count).arg(&wide).arg(&pitch).arg(&code).arg(&slope);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}

/// What follows a product of rows, in f32 or f16: a bias for each column, an activation without parameters, and a tensor that is added.
/// Of halves it may be halves that come out.
pub(crate) fn finish_rows(
    x: &Tensor,
    bias: Option<&Tensor>,
    activation: Activation<'_>,
    other: Option<&Tensor>,
    dtype: DType,
) -> Result<Tensor> {
    match (x.dtype(), dtype) {
        (DType::F16, DType::F16) => {
            finish::<f16, f16>("finish_half_rows_to_half", x, (bias, other), activation)
        }
        (DType::F16, _) => finish::<f16, f32>("finish_half_rows", x, (bias, other), activation),
        _ => finish::<f32, f32>("finish_rows", x, (bias, other), activation),
    }
}

fn finish<T: CudaDType, U: CudaDType + DeviceRepr>(
    name: &'static str,
    x: &Tensor,
    (bias, other): (Option<&Tensor>, Option<&Tensor>),
    activation: Activation<'_>,
) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let other = other.map(Tensor::contiguous).transpose()?;
    let Some((code, slope)) = activation_code(activation) else {
        return refused("rows have no such activation".to_owned());
    };
    let (card, input) = (card_of(&x)?, Operand::of(&x)?);
    let (bias, other) = (Operand::of_some(bias)?, Operand::of_some(other.as_ref())?);
    let fits =
        |operand: &Option<Operand<'_>>, count: usize| operand.as_ref().is_none_or(|o| o.len() == count);
    if !fits(&bias, columns) || !fits(&other, rows * columns) {
        return refused(format!("{rows} rows of {columns} numbers were given other operands"));
    }
    let (count, config) = threads_for(rows * columns)?;
    let wide = columns as u32;
    let (bias, other) = (some_numbers(bias.as_ref())?, some_numbers(other.as_ref())?);
    let numbers = input.numbers::<T>()?;
    let (function, stream) = (kernel(&card, name)?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`; both are of the
    // numbers that the kernel of this name has.
    let out = unsafe {
        let out = card.alloc::<U>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers);
        argument!(launch, bias);
        argument!(launch, other);
        launch.arg(&out).arg(&count).arg(&wide).arg(&code).arg(&slope);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}

/// Zeros in the rows of `(rows, columns)` that are nobody's.
pub(crate) fn clear_rows(x: &Tensor, packing: &Packing) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    if packing.count() * packing.pitch() != rows {
        return refused(format!("{} sequences cannot have {rows} rows", packing.count()));
    }
    let (card, input, lens) = (card_of(&x)?, Operand::of(&x)?, packing.lens_on(x.device())?);
    let lens = Operand::of(&lens)?;
    let (numbers, lens) = (input.numbers::<f32>()?, lens.numbers::<u32>()?);
    let (count, config) = threads_for(rows * columns)?;
    let (wide, pitch) = (columns as u32, packing.pitch() as u32);
    let (function, stream) = (kernel(&card, "clear_rows")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
    let out = unsafe {
        let out = card.alloc::<f32>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers).arg(&lens).arg(&out).arg(&count).arg(&wide).arg(&pitch);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}

/// The mean of three tensors of one shape.
pub(crate) fn mean_of_three(parts: [&Tensor; 3]) -> Result<Tensor> {
    let (rows, columns) = parts[0].dims2()?;
    let [a, b, c] = parts.map(Tensor::contiguous);
    let parts = [a?, b?, c?];
    let card = card_of(&parts[0])?;
    let [a, b, c] = parts.each_ref().map(Operand::of);
    let operands = [a?, b?, c?];
    if operands.iter().any(|operand| operand.len() != rows * columns) {
        return refused("a mean was given tensors of several shapes".to_owned());
    }
    let [a, b, c] = operands.each_ref().map(Operand::numbers::<f32>);
    let (a, b, c) = (a?, b?, c?);
    let ((count, config), scale) = (threads_for(rows * columns)?, 1.0_f32 / 3.0);
    let (function, stream) = (kernel(&card, "mean_of_three")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
    let out = unsafe {
        let out = card.alloc::<f32>(rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&a).arg(&b).arg(&c).arg(&out).arg(&count).arg(&scale);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, columns))
}

/// Each column of a matrix twice, or, `by_rows`, each row.
pub(crate) fn repeat_twice(x: &Tensor, by_rows: bool) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let (card, input) = (card_of(&x)?, Operand::of(&x)?);
    let (count, config) = threads_for(2 * rows * columns)?;
    let wide = if by_rows { columns as u32 } else { 1 };
    let numbers = input.numbers::<f32>()?;
    let (function, stream) = (kernel(&card, "repeat_twice")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel writes every element of `out` and reads half as many.
    let out = unsafe {
        let out = card.alloc::<f32>(2 * rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers).arg(&out).arg(&count).arg(&wide);
        launch.launch(config).w()?;
        out
    };
    let dims = if by_rows { (2 * rows, columns) } else { (rows, 2 * columns) };
    Ok(matrix(out, &card, dims.0, dims.1))
}

/// The depthwise upsampling of `(channels, columns)` by two; with a packing, which is that of the output, the columns that are nobody's
/// come out as zeros. `weight` is `(channels, 1, 3)`, `bias` is `(channels)`.
pub(crate) fn depthwise_upsample(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    packing: Option<&Packing>,
) -> Result<Tensor> {
    let (x, (rows, columns)) = (x.contiguous()?, x.dims2()?);
    let (card, input) = (card_of(&x)?, Operand::of(&x)?);
    let (taps, bias) = (Operand::of(weight)?, Operand::of(bias)?);
    let fits = packing.is_none_or(|packing| packing.count() * packing.pitch() == 2 * columns);
    if !fits || taps.len() != 3 * rows || bias.len() != rows {
        return refused(format!(
            "an upsampling of {rows} channels and {columns} columns was given other operands"
        ));
    }
    let (count, config) = threads_for(2 * rows * columns)?;
    let (wide, pitch) = (columns as u32, packing.map_or(1, Packing::pitch) as u32);
    let lens = lens_of(packing, x.device())?;
    let lens = Operand::of_some(lens.as_ref())?;
    let lens = some_integers(lens.as_ref())?;
    let (numbers, taps, bias) = (input.numbers::<f32>()?, taps.numbers::<f32>()?, bias.numbers::<f32>()?);
    let (function, stream) = (kernel(&card, "depthwise_upsample")?, card.cuda_stream());
    #[expect(unsafe_code, reason = "a kernel is launched")]
    // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
    let out = unsafe {
        let out = card.alloc::<f32>(2 * rows * columns)?;
        let mut launch = stream.launch_builder(&function);
        launch.arg(&numbers).arg(&taps).arg(&bias);
        argument!(launch, lens);
        launch.arg(&out).arg(&count).arg(&wide).arg(&pitch);
        launch.launch(config).w()?;
        out
    };
    Ok(matrix(out, &card, rows, 2 * columns))
}
