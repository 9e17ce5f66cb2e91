//! The audio of an answer: `audio-start`, `audio-chunk`s and `audio-stop`, 16-bit mono at one rate throughout, spoken by
//! the same path as any other request.

use super::frame::{self, Fault};
use crate::{
    ApiError, App, Terms,
    encoded::EncodedSynthesis,
    metrics::RequestMeter,
    synthesis::{self, Request},
};
use serde_json::{Value, json};
use std::io;
use stentor_types::{AudioFormat, SampleRate, SpeechRequest};
use tokio::io::AsyncWrite;

/// Of one `audio-chunk`: a sixth of a second, so that a player can begin at once.
const CHUNK_BYTES: usize = 8192;
/// Bytes of a sample.
const WIDTH: u64 = 2;

pub(super) struct Sound<'a, W> {
    out: &'a mut W,
    /// That of the first who spoke; known once `audio-start` was sent.
    rate: Option<SampleRate>,
    /// Samples sent.
    sent: u64,
    /// Of the whole answer, however many parts its text came in.
    meter: Option<RequestMeter<'a>>,
}

impl<'a, W: AsyncWrite + Unpin> Sound<'a, W> {
    pub(super) fn new(app: &'a App, out: &'a mut W) -> Self {
        let mut meter = app.metrics.request();
        meter.format(AudioFormat::Pcm.name());
        Self { out, rate: None, sent: 0, meter: Some(meter) }
    }

    /// Speaks a text to its end.
    pub(super) async fn speak(
        &mut self,
        app: &App,
        speech: &SpeechRequest,
        terms: Terms,
    ) -> Result<(), Fault> {
        let synthesis = match synthesis::begin(app, Request::new(speech, terms)).await {
            Ok(synthesis) => synthesis,
            Err(error) => return Err(self.refused(app, error).into()),
        };
        if let Some(mut meter) = self.meter.take() {
            meter.model(&synthesis.model);
            meter.answered(200);
        }
        let rate = self.begin(synthesis.rate).await?;
        let mut encoded = EncodedSynthesis::new(synthesis, AudioFormat::Pcm, rate)?;
        while let Some(stretch) = encoded.next_stretch().await {
            let bytes = stretch?.bytes;
            for chunk in bytes.chunks(CHUNK_BYTES) {
                self.send(rate, chunk).await?;
            }
        }
        let spoken = encoded.spoken();
        let (audio_s, ms) = (format_args!("{:.2}", spoken.audio), spoken.took.as_millis() as u64);
        tracing::info!(audio_s, chars = spoken.chars, ms, "spoken");
        Ok(())
    }

    fn refused(&mut self, app: &App, error: ApiError) -> ApiError {
        // A bit of a stream that holds no word is no failure of the answer.
        if error.code == crate::ErrorCode::InputNotSpeakable {
            return error;
        }
        let status = error.code.status().as_u16();
        if matches!(status, 429 | 503) {
            app.metrics.rejected(error.code.name());
        }
        if let Some(meter) = self.meter.take() {
            meter.answered(status);
        }
        error
    }

    async fn begin(&mut self, rate: SampleRate) -> io::Result<SampleRate> {
        if let Some(rate) = self.rate {
            return Ok(rate);
        }
        self.rate = Some(rate);
        frame::write(self.out, "audio-start", &self.format(rate), &[]).await?;
        Ok(rate)
    }

    async fn send(&mut self, rate: SampleRate, bytes: &[u8]) -> io::Result<()> {
        frame::write(self.out, "audio-chunk", &self.format(rate), bytes).await?;
        self.sent += bytes.len() as u64 / WIDTH;
        Ok(())
    }

    /// `timestamp`: milliseconds of audio before this.
    fn format(&self, rate: SampleRate) -> Value {
        json!({ "rate": rate.0, "width": WIDTH, "channels": 1, "timestamp": self.milliseconds(rate) })
    }

    fn milliseconds(&self, rate: SampleRate) -> u64 {
        (rate.seconds(self.sent) * 1000.0) as u64
    }

    /// All has been spoken. Where nothing was, there is no audio to end.
    pub(super) async fn end(mut self) -> io::Result<()> {
        if let Some(meter) = self.meter.take() {
            meter.answered(200);
        }
        let Some(rate) = self.rate else { return Ok(()) };
        frame::write(self.out, "audio-stop", &json!({ "timestamp": self.milliseconds(rate) }), &[]).await
    }
}
