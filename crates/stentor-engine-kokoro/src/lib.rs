//! The Kokoro family: phonemes and a style vector to a waveform.
