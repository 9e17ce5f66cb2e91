//! The bidirectional LSTM in one launch: a block of threads for each direction and sequence goes through all steps.

use super::{kernel, numbers, small};
use crate::{Linear, Result, Watch, lstm::LstmWeights, watch::tick};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor,
    backend::BackendStorage,
    bail,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{LaunchConfig, PushKernelArg},
    },
};

/// The widest hidden state that fits a block; the kernel's `MOST_HIDDEN`.
pub(crate) const MOST_HIDDEN: usize = 256;

/// The layer on a card.
#[derive(Debug, Clone)]
pub struct CardLstm {
    /// Input to `[direction][gate][hidden]`.
    input: Linear,
    /// `(2 directions, hidden from, 4 gates * hidden to)`.
    recurrent: Tensor,
    hidden: usize,
}

impl CardLstm {
    pub(crate) fn new(weights: &LstmWeights) -> Result<Self> {
        let (hidden, device) = (weights.hidden, weights.input.device());
        let turned = weights.recurrent.iter().map(|values| {
            Tensor::new(values.as_slice(), device)?.reshape((4 * hidden, hidden))?.t()?.contiguous()
        });
        let recurrent = Tensor::stack(&turned.collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        Ok(Self { input: Linear::new(&weights.input, weights.bias.clone())?, recurrent, hidden })
    }

    pub(crate) fn forward(&self, x: &Tensor, lens: &[usize], watch: &dyn Watch) -> Result<Tensor> {
        let gates = self.input.forward(x, watch)?.contiguous()?;
        let out =
            gates.apply_op2_no_bwd(&self.recurrent, &Steps { lens: lens.to_vec(), hidden: self.hidden })?;
        tick(watch)?;
        Ok(out)
    }
}

struct Steps {
    lens: Vec<usize>,
    hidden: usize,
}

impl CustomOp2 for Steps {
    fn name(&self) -> &'static str {
        "bidirectional_lstm"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        bail!("the CPU has a kernel of its own")
    }

    fn cuda_fwd(
        &self,
        gates: &CudaStorage,
        gates_layout: &Layout,
        recurrent: &CudaStorage,
        recurrent_layout: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let (card, hidden) = (gates.device(), self.hidden);
        let rows = self.lens.iter().sum::<usize>();
        let (gates, recurrent) = (numbers(gates, gates_layout)?, numbers(recurrent, recurrent_layout)?);
        if hidden > MOST_HIDDEN || gates.len() != rows * 8 * hidden || recurrent.len() != 8 * hidden * hidden
        {
            bail!("an LSTM of {hidden} over {rows} rows was given other operands");
        }
        let starts = self.lens.iter().scan(0, |start, len| Some(std::mem::replace(start, *start + len)));
        let starts = card.clone_htod(&small(&starts.collect::<Vec<_>>()))?;
        let lens = card.clone_htod(&small(&self.lens))?;
        let kernel = kernel(card, self.name())?;
        let stream = card.cuda_stream();
        let width = hidden as u32;
        let config = LaunchConfig {
            grid_dim: (2, self.lens.len() as u32, 1),
            block_dim: (4 * width, 1, 1),
            shared_mem_bytes: 0,
        };
        #[expect(unsafe_code, reason = "a kernel is launched")]
        // SAFETY: the kernel reads and writes within these lengths, which were checked, and writes every element of `out`.
        let out = unsafe {
            let out = card.alloc::<f32>(rows * 2 * hidden)?;
            let mut launch = stream.launch_builder(&kernel);
            launch.arg(&gates).arg(&recurrent).arg(&starts).arg(&lens).arg(&out).arg(&width);
            launch.launch(config).w()?;
            out
        };
        Ok((CudaStorage::wrap_cuda_slice(out, card.clone()), (rows, 2 * hidden).into()))
    }
}
