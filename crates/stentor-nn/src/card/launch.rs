//! Launches of kernels that take more operands than candle's custom ops do.

use candle_core::{
    CudaDevice, CudaStorage, Device, Storage, StorageRef, Tensor, bail,
    cuda_backend::{CudaDType, cudarc::driver::CudaSlice, cudarc::driver::CudaView},
    op::BackpropOp,
};

/// A contiguous tensor on a card that a kernel is to read.
pub(super) struct Operand<'a> {
    storage: StorageRef<'a>,
    from: usize,
    to: usize,
}

impl<'a> Operand<'a> {
    pub(super) fn of(tensor: &'a Tensor) -> candle_core::Result<Self> {
        let (storage, layout) = tensor.storage_and_layout();
        match layout.contiguous_offsets() {
            Some((from, to)) => Ok(Self { storage, from, to }),
            None => bail!("an operand of a card's kernel is not contiguous"),
        }
    }

    /// Where `tensor` is given.
    pub(super) fn of_some(tensor: Option<&'a Tensor>) -> candle_core::Result<Option<Self>> {
        tensor.map(Self::of).transpose()
    }

    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }

    pub(super) fn numbers<T: CudaDType>(&self) -> candle_core::Result<CudaView<'_, T>> {
        match &*self.storage {
            Storage::Cuda(storage) => Ok(storage.as_cuda_slice::<T>()?.slice(self.from..self.to)),
            _ => bail!("an operand of a card's kernel is not on a card"),
        }
    }
}

/// [`Operand::numbers`] of what is given.
pub(super) fn some_numbers<'a>(
    operand: Option<&'a Operand<'_>>,
) -> candle_core::Result<Option<CudaView<'a, f32>>> {
    operand.map(Operand::numbers).transpose()
}

/// [`Operand::numbers`] of lengths and places, if they are given.
pub(super) fn some_integers<'a>(
    operand: Option<&'a Operand<'_>>,
) -> candle_core::Result<Option<CudaView<'a, u32>>> {
    operand.map(Operand::numbers).transpose()
}

/// The card that a tensor is on.
pub(super) fn card_of(tensor: &Tensor) -> candle_core::Result<CudaDevice> {
    match tensor.device() {
        Device::Cuda(card) => Ok(card.clone()),
        _ => bail!("a tensor is not on a card"),
    }
}

/// What a kernel wrote, as a tensor.
pub(super) fn matrix<T: CudaDType>(
    out: CudaSlice<T>,
    card: &CudaDevice,
    rows: usize,
    columns: usize,
) -> Tensor {
    let storage = Storage::Cuda(CudaStorage::wrap_cuda_slice(out, card.clone()));
    Tensor::from_storage(storage, (rows, columns), BackpropOp::none(), false)
}

/// Adds an operand to a launch, or a null pointer where there is none.
macro_rules! argument {
    ($launch:ident, $operand:expr) => {
        match &$operand {
            Some(operand) => $launch.arg(operand),
            None => $launch.arg(&0_u64),
        }
    };
}
pub(super) use argument;
