//! Synthesis plus an encoder: bytes of one audio file, in order.
//!
//! Encoding a long chunk takes tens of milliseconds, so it runs on the blocking pool and never holds up the
//! threads that answer probes.

use crate::{
    ApiError, ErrorCode,
    synthesis::{Spoken, Synthesis},
};
use bytes::Bytes;
use std::sync::Arc;
use stentor_audio::{AudioError, Encoder, Resampler, encoder};
use stentor_text::View;
use stentor_types::{AudioFormat, SampleRate, SourceTiming, content_hash};

/// The encoded form of a request's audio.
pub struct EncodedSynthesis {
    synthesis: Synthesis,
    /// `None` once the container has been completed.
    sink: Option<Sink>,
    rate: SampleRate,
    words: Vec<SourceTiming>,
}

/// A stretch of the file and the words that were completed with it. One of both may be empty.
#[derive(Debug, Default)]
pub struct Stretch {
    pub bytes: Bytes,
    pub words: Vec<SourceTiming>,
}

/// The way of samples into a file: to its rate, then into its container.
struct Sink {
    /// `None` where both rates are the same.
    resampler: Option<Resampler>,
    encoder: Box<dyn Encoder>,
}

impl Sink {
    /// `samples`: how many will come, at the rate of `synthesis`, where that is known.
    fn new(
        synthesis: &Synthesis,
        (format, to): (AudioFormat, SampleRate),
        samples: Option<u64>,
    ) -> Result<Self, AudioError> {
        let from = synthesis.rate;
        let resampler = if from == to { None } else { Some(Resampler::new(from, to)?) };
        let total = samples.map(|n| (n * u64::from(to.0)).div_ceil(u64::from(from.0)));
        let mut encoder = encoder(format, to, total)?;
        // The pieces of a book differ in their text, and the same request stays the same bytes.
        encoder.name(content_hash(&[synthesis.original()]) as u32);
        Ok(Self { resampler, encoder })
    }

    fn push(&mut self, samples: &[f32], out: &mut Vec<u8>) -> Result<(), AudioError> {
        let Some(resampler) = &mut self.resampler else { return self.encoder.encode(samples, out) };
        let mut resampled = Vec::new();
        resampler.push(samples, &mut resampled);
        self.encoder.encode(&resampled, out)
    }

    fn finish(mut self, out: &mut Vec<u8>) -> Result<(), AudioError> {
        let mut rest = Vec::new();
        if let Some(resampler) = self.resampler {
            resampler.finish(&mut rest);
            self.encoder.encode(&rest, out)?;
        }
        self.encoder.finish(out)
    }
}

impl EncodedSynthesis {
    /// Streams at `rate`: sizes in headers stay open.
    pub fn new(synthesis: Synthesis, format: AudioFormat, rate: SampleRate) -> Result<Self, ApiError> {
        let sink = Sink::new(&synthesis, (format, rate), None).map_err(|e| encoding_failed(&e))?;
        Ok(Self { synthesis, sink: Some(sink), rate, words: Vec::new() })
    }

    /// The next non-empty stretch of the file; `None` at its end. Words gather for [`take_words`](Self::take_words).
    pub async fn next(&mut self) -> Option<Result<Bytes, ApiError>> {
        loop {
            match self.next_stretch().await? {
                Ok(stretch) => {
                    self.words.extend(stretch.words);
                    if !stretch.bytes.is_empty() {
                        return Some(Ok(stretch.bytes));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// What comes next, bytes or words; `None` at the end of the file. These words are not kept for
    /// [`take_words`](Self::take_words).
    pub async fn next_stretch(&mut self) -> Option<Result<Stretch, ApiError>> {
        self.sink.as_ref()?;
        let (samples, words) = match self.synthesis.next().await {
            Some(Ok(piece)) => (Some(piece.samples), piece.words),
            Some(Err(error)) => {
                self.sink = None;
                return Some(Err(error));
            }
            None => (None, Vec::new()),
        };
        let encoded = self.encode(samples).await;
        Some(encoded.map(|bytes| Stretch { bytes: Bytes::from(bytes), words }))
    }

    /// The client's text, to which the places of words refer.
    pub fn original(&self) -> &Arc<str> {
        self.synthesis.original()
    }

    /// That text as a reader sees it.
    pub fn view(&self) -> &Arc<View> {
        self.synthesis.view()
    }

    /// Of the file.
    pub fn rate(&self) -> SampleRate {
        self.rate
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
        let Some(mut sink) = self.sink.take() else { return Ok(Vec::new()) };
        let (sink, result) = blocking(move || {
            let mut out = Vec::new();
            match samples {
                Some(samples) => {
                    let result = sink.push(&samples, &mut out);
                    (Some(sink), result.map(|()| out))
                }
                None => (None, sink.finish(&mut out).map(|()| out)),
            }
        })
        .await?;
        if result.is_ok() {
            self.sink = sink;
        }
        result.map_err(|e| encoding_failed(&e))
    }
}

/// Speaks to the end and encodes once at `rate`, with true sizes in the headers. The samples are held in memory, so audio of more
/// than `max_seconds` is refused.
pub async fn whole(
    mut synthesis: Synthesis,
    (format, rate): (AudioFormat, SampleRate),
    max_seconds: u32,
) -> Result<Bytes, ApiError> {
    let spoken_rate = synthesis.rate;
    let mut samples = Vec::new();
    while let Some(piece) = synthesis.next().await {
        samples.append(&mut piece?.samples);
        if spoken_rate.seconds(samples.len() as u64) > f64::from(max_seconds) {
            let message =
                format!("the audio is longer than the {max_seconds} s that are sent whole; let it stream");
            return Err(ApiError::field(ErrorCode::InputTooLarge, "stream", message));
        }
    }
    let sink = Sink::new(&synthesis, (format, rate), Some(samples.len() as u64));
    let sink = sink.map_err(|e| encoding_failed(&e))?;
    let encoded = blocking(move || encode_all(&samples, sink)).await?;
    encoded.map(Bytes::from).map_err(|e| encoding_failed(&e))
}

fn encode_all(samples: &[f32], mut sink: Sink) -> Result<Vec<u8>, AudioError> {
    let mut out = Vec::new();
    sink.push(samples, &mut out)?;
    sink.finish(&mut out)?;
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
