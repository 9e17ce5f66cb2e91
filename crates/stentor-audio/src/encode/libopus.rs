//! A safe handle on one libopus encoder. The only file of this crate with `unsafe`: unsafe-libopus is libopus
//! translated from C to Rust and keeps the C interface of raw pointers and lengths.

use crate::AudioError;
use std::ptr::NonNull;
use stentor_types::{AudioFormat, SampleRate};
use unsafe_libopus::{
    OPUS_APPLICATION_AUDIO, OPUS_GET_LOOKAHEAD_REQUEST, OPUS_OK, OPUS_SET_BITRATE_REQUEST,
    OPUS_SET_COMPLEXITY_REQUEST, OPUS_SET_SIGNAL_REQUEST, OPUS_SIGNAL_VOICE, OpusEncoder, opus_encode_float,
    opus_encoder_create, opus_encoder_ctl_impl, opus_encoder_destroy, opus_strerror, varargs,
};

/// RFC 6716: no frame of an Opus packet is longer than this, and we send one frame per packet.
pub(super) const MAX_PACKET: usize = 1275;

/// A mono encoder of 20 ms packets.
pub(super) struct Libopus {
    state: NonNull<OpusEncoder>,
    frame: usize,
}

// SAFETY: the state is one heap block that this handle alone points to. Its inner pointers lead into the block itself
// or to constant tables (the crate's `static mut` tables are never written), so it may move between threads; every use
// goes through `&mut self`, so two threads never enter it at once.
unsafe impl Send for Libopus {}

impl Libopus {
    /// `rate` must be 8, 12, 16, 24 or 48 kHz; `bitrate` is in bits per second, `complexity` 0 to 10.
    pub(super) fn new(rate: SampleRate, bitrate: i32, complexity: i32) -> Result<Self, AudioError> {
        let mut code = OPUS_OK;
        // SAFETY: no pointer goes in but `code`, which outlives the call; bad values are answered by an error code.
        let state = unsafe { opus_encoder_create(rate.0 as i32, 1, OPUS_APPLICATION_AUDIO, &raw mut code) };
        let state = NonNull::new(state).ok_or_else(|| error(code))?;
        let mut encoder = Self { state, frame: rate.0 as usize / 50 };
        encoder.set(OPUS_SET_BITRATE_REQUEST, bitrate)?;
        encoder.set(OPUS_SET_COMPLEXITY_REQUEST, complexity)?;
        encoder.set(OPUS_SET_SIGNAL_REQUEST, OPUS_SIGNAL_VOICE)?;
        Ok(encoder)
    }

    fn set(&mut self, request: i32, value: i32) -> Result<(), AudioError> {
        // SAFETY: `state` is a live encoder of ours; all three requests take one `i32`, which is what they are given
        // (a wrong type would panic, not corrupt).
        let code = unsafe { opus_encoder_ctl_impl(self.state.as_ptr(), request, varargs!(value)) };
        if code == OPUS_OK { Ok(()) } else { Err(error(code)) }
    }

    /// Samples at the encoder's rate by which its output lags its input.
    pub(super) fn lookahead(&mut self) -> Result<usize, AudioError> {
        let mut samples = 0;
        // SAFETY: `state` is a live encoder of ours; this request writes one `i32` through the reference given, which
        // the call borrows.
        let code = unsafe {
            opus_encoder_ctl_impl(self.state.as_ptr(), OPUS_GET_LOOKAHEAD_REQUEST, varargs!(&mut samples))
        };
        if code == OPUS_OK { Ok(samples as usize) } else { Err(error(code)) }
    }

    /// Samples in one packet.
    pub(super) fn frame(&self) -> usize {
        self.frame
    }

    /// Encodes exactly [`frame`](Self::frame) samples; `packet` keeps the bytes.
    pub(super) fn encode(&mut self, samples: &[f32], packet: &mut Vec<u8>) -> Result<(), AudioError> {
        assert_eq!(samples.len(), self.frame, "invariant: one whole frame");
        packet.resize(MAX_PACKET, 0);
        // SAFETY: `state` is a live encoder of ours. It reads `frame` mono floats, which the assertion above has
        // counted, and writes at most the given number of bytes, which `resize` has just made room for.
        let written = unsafe {
            opus_encode_float(
                self.state.as_ptr(),
                samples.as_ptr(),
                self.frame as i32,
                packet.as_mut_ptr(),
                MAX_PACKET as i32,
            )
        };
        let written = usize::try_from(written).map_err(|_| error(written))?;
        packet.truncate(written);
        Ok(())
    }
}

impl Drop for Libopus {
    fn drop(&mut self) {
        // SAFETY: `state` came from `opus_encoder_create`, was never given away, and is not used after this.
        unsafe { opus_encoder_destroy(self.state.as_ptr()) }
    }
}

fn error(code: i32) -> AudioError {
    AudioError::codec(AudioFormat::Opus, &opus_strerror(code))
}
