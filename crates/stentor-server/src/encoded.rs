//! Synthesis plus an encoder: bytes of one audio file, in order.
//!
//! Encoding a long chunk takes tens of milliseconds, so it runs on the blocking pool and never holds up the
//! threads that answer probes.

use crate::{
    ApiError, ErrorCode,
    synthesis::{Spoken, Synthesis},
};
use bytes::Bytes;
use stentor_audio::{AudioError, Encoder, encoder};
use stentor_types::{AudioFormat, SampleRate, SourceTiming};

/// The encoded form of a request's audio.
pub struct EncodedSynthesis {
    synthesis: Synthesis,
    /// `None` once the container has been completed.
    encoder: Option<Box<dyn Encoder>>,
    words: Vec<SourceTiming>,
}

impl EncodedSynthesis {
    /// Streams: sizes in headers stay open.
    pub fn new(synthesis: Synthesis, format: AudioFormat) -> Result<Self, ApiError> {
        let encoder = encoder(format, synthesis.rate, None).map_err(|e| encoding_failed(&e))?;
        Ok(Self { synthesis, encoder: Some(encoder), words: Vec::new() })
    }

    /// The next non-empty stretch of the file; `None` at its end.
    pub async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        while self.encoder.is_some() {
            let samples = match self.synthesis.next().await {
                Some(Ok(piece)) => {
                    self.words.extend(piece.words);
                    Some(piece.samples)
                }
                Some(Err(error)) => {
                    self.encoder = None;
                    return Some(Err(error));
                }
                None => None,
            };
            match self.encode(samples).await {
                Ok(bytes) if bytes.is_empty() => {}
                result => return Some(result.map(Bytes::from)),
            }
        }
        None
    }

    pub fn rate(&self) -> SampleRate {
        self.synthesis.rate
    }

    /// What has become of it so far.
    pub fn spoken(&self) -> Spoken {
        self.synthesis.spoken()
    }

    /// Words spoken since this was last asked, with their times.
    pub fn take_words(&mut self) -> Vec<SourceTiming> {
        std::mem::take(&mut self.words)
    }

    /// Encodes `samples`, or completes the container when there are none left.
    async fn encode(&mut self, samples: Option<Vec<f32>>) -> Result<Vec<u8>, ApiError> {
        let Some(mut encoder) = self.encoder.take() else { return Ok(Vec::new()) };
        let (encoder, result) = blocking(move || {
            let mut out = Vec::new();
            match samples {
                Some(samples) => {
                    let result = encoder.encode(&samples, &mut out);
                    (Some(encoder), result.map(|()| out))
                }
                None => (None, encoder.finish(&mut out).map(|()| out)),
            }
        })
        .await?;
        if result.is_ok() {
            self.encoder = encoder;
        }
        result.map_err(|e| encoding_failed(&e))
    }
}

/// Speaks to the end and encodes once, with true sizes in the headers. The samples are held in memory, so audio of more
/// than `max_seconds` is refused.
pub async fn whole(
    mut synthesis: Synthesis,
    format: AudioFormat,
    max_seconds: u32,
) -> Result<Bytes, ApiError> {
    let rate = synthesis.rate;
    let mut samples = Vec::new();
    while let Some(piece) = synthesis.next().await {
        samples.append(&mut piece?.samples);
        if rate.seconds(samples.len() as u64) > f64::from(max_seconds) {
            let message =
                format!("the audio is longer than the {max_seconds} s that are sent whole; let it stream");
            return Err(ApiError::field(ErrorCode::InputTooLarge, "stream", message));
        }
    }
    let encoded = blocking(move || encode_all(&samples, rate, format)).await?;
    encoded.map(Bytes::from).map_err(|e| encoding_failed(&e))
}

fn encode_all(samples: &[f32], rate: SampleRate, format: AudioFormat) -> Result<Vec<u8>, AudioError> {
    let mut out = Vec::new();
    let mut encoder = encoder(format, rate, Some(samples.len() as u64))?;
    encoder.encode(samples, &mut out)?;
    encoder.finish(&mut out)?;
    Ok(out)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|e| ApiError::internal(format!("the encoder's task died: {e}")))
}

fn encoding_failed(error: &AudioError) -> ApiError {
    ApiError::internal(format!("encoding: {error}"))
}
