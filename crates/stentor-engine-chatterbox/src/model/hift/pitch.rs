//! The pitch of each mel frame, in hertz.

use candle_core::Tensor;
use stentor_nn::{Activation, Conv1d, ConvShape, Linear, Packing, Result, Scope, Watch, activate};

/// In `condnet`, every other module is an activation.
const CONVOLUTIONS: usize = 5;
const KERNEL: usize = 3;
/// Frames to either side that a frame's pitch is read from.
pub const PITCH_REACH: usize = CONVOLUTIONS * (KERNEL / 2);

#[derive(Debug, Clone)]
pub(super) struct PitchPredictor {
    convolutions: Vec<Conv1d>,
    classifier: Linear,
}

impl PitchPredictor {
    pub(super) fn load(scope: &Scope<'_>, mels: usize) -> Result<Self> {
        let part = |index: usize| scope.at(format!("condnet.{}", 2 * index));
        let width = |index: usize| part(index).shape("weight_v").map_or(mels, |shape| shape[0]);
        let convolution = |index: usize| {
            let input = if index == 0 { mels } else { width(index - 1) };
            Conv1d::load(&part(index), ConvShape::same(input, width(index), KERNEL, 1))
        };
        let convolutions = (0..CONVOLUTIONS).map(convolution).collect::<Result<_>>()?;
        Ok(Self {
            convolutions,
            classifier: Linear::load(&scope.at("classifier"), width(CONVOLUTIONS - 1), 1)?,
        })
    }

    /// One value for each column of each of several `(80, frames)`; each comes out as if it were alone.
    pub(super) fn forward(&self, mels: &[Tensor], watch: &dyn Watch) -> Result<Vec<Vec<f32>>> {
        let lens = mels.iter().map(|mel| Ok(mel.dims2()?.1)).collect::<Result<Vec<_>>>()?;
        let packing = Packing::new(&lens, KERNEL / 2, mels[0].device());
        let mut x = packing.pack(mels)?.contiguous()?;
        for convolution in &self.convolutions {
            x = activate(&convolution.forward(&x, watch)?, Activation::Elu, watch)?;
            x = packing.clear_gaps(&x)?;
        }
        let pitch = self.classifier.forward(&x.t()?.contiguous()?, watch)?.flatten_all()?;
        let pitch: Vec<f32> = pitch.to_vec1::<f32>()?.into_iter().map(f32::abs).collect();
        let each = pitch.chunks(packing.pitch()).zip(packing.lens());
        Ok(each.map(|(pitch, &len)| pitch[..len].to_vec()).collect())
    }
}
