//! Layers, kernels and weight loading that speech models share.
//!
//! Weights are immutable and hold no state; a forward pass takes its inputs and a [`Watch`]. Activations are two-dimensional
//! tensors of one utterance, or of several side by side ([`Packing`]): `(channels, time)` around convolutions, `(time, channels)` around
//! linear and recurrent layers. On the CPU each op runs a fused kernel of ours whose result does not depend on the number of threads;
//! on any other device it is composed from candle's ops, but for what a CUDA card has kernels of ours for (`card/`).

mod activation;
mod allocator;
mod attention;
#[cfg(feature = "cuda")]
mod card;
mod conv;
mod conv_transpose;
pub mod cpu;
mod cut_off;
mod decoder;
mod deferred;
mod device;
mod draw;
mod error;
mod factor;
mod gated;
#[cfg(any(test, feature = "cuda"))]
mod implicit;
mod kv_attention;
mod kv_cache;
mod kv_step;
mod linear;
mod lstm;
pub mod noise;
mod norm;
mod packed_attention;
mod packing;
mod pages;
mod pickle;
mod replay;
mod rms_norm;
mod rope;
mod row_conv;
mod sines;
mod stft;
mod stock_lstm;
mod watch;
mod weights;

pub use activation::{Activation, activate, activate_packed, mean_of};
pub use allocator::{give_back_early, keep_big_blocks, one_heap};
pub use attention::{self_attention, self_attention_of_stretches};
pub use conv::{Conv1d, ConvShape, repeat_interleave, repeat_twice};
pub use conv_transpose::{ConvTranspose1d, DepthwiseUpsample};
pub use decoder::{BlockLayers, Blueprint, Decoder, RowNorm, Step, StepBy, Stepped};
pub use deferred::Deferred;
pub use device::{KEPT_ON_CARD, Opened, open_device};
pub use draw::{Draw, Drawn};
pub use error::NnError;
pub use gated::gated_silu;
pub use kv_attention::cross_attention;
pub use kv_cache::{HEAD, KvCache, KvShape, Look};
pub use kv_step::{append, attend};
pub use linear::{Embedding, Linear};
pub use lstm::BiLstm;
pub use norm::{AdaIn, AdaLayerNorm, LayerNorm};
pub use packed_attention::{RelativePositions, packed_attention, relative_attention};
pub use packing::{Packing, for_each_stretch, groups};
pub use replay::Replay;
pub use rms_norm::RmsNorm;
pub use rope::{Rope, RopeScaling};
pub use row_conv::{RowConv, RowShape, Then, repeat_rows_twice};
pub use sines::add_sines;
pub use stft::Stft;
pub use watch::{Unwatched, Watch};
pub use weights::{Scope, Weights};

/// Results of this crate.
pub type Result<T> = std::result::Result<T, NnError>;

#[cfg(test)]
mod stock_test {
    //! What is composed of candle's ops must agree with our kernels, though no test here has another device.

    use candle_core::Tensor;

    #[track_caller]
    pub(crate) fn assert_same(ours: &Tensor, stock: &Tensor) {
        assert_eq!(ours.dims(), stock.dims());
        let error = (ours - stock).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
        assert!(error.to_scalar::<f32>().unwrap() < 2e-5, "{error}");
    }
}
