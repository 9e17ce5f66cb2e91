//! PCM in, bytes out: joining chunks and six encoders.
