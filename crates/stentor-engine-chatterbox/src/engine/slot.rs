//! A chunk in the engine: its request, its tokens and its samples so far.

use super::{
    networks::{Networks, RenderPlan},
    params::Settings,
    utterance::{Next, Piece, Utterance},
    watch::Waiting,
};
use crate::{model::SAMPLES_PER_TOKEN, report, voice::Conditionals};
use std::sync::Arc;
use stentor_engine::{ChunkRequest, ChunkStats, EngineError, StepSink};
use stentor_nn::NnError;

pub(super) struct Slot<N: Networks> {
    pub request: ChunkRequest,
    pub voice: Arc<Conditionals>,
    pub settings: Settings,
    pub utterance: Utterance,
    /// None until it is begun, and when it is to be begun anew.
    pub sequence: Option<N::Sequence>,
    /// Drawn, and not yet appended.
    pub pending: Option<u32>,
    /// The engine's latest piece was this chunk's when its clock stood here; the longest ago is next.
    pub turn: u64,
    pub failure: Option<EngineError>,
    rendering: Option<N::Rendering>,
    /// Tokens whose samples have been given out.
    heard: usize,
    /// The last piece has been rendered.
    complete: bool,
    samples: u64,
}

impl<N: Networks> Slot<N> {
    pub(super) fn new(
        request: ChunkRequest,
        voice: Arc<Conditionals>,
        settings: Settings,
        utterance: Utterance,
    ) -> Self {
        Self {
            request,
            voice,
            settings,
            utterance,
            sequence: None,
            pending: None,
            turn: 0,
            failure: None,
            rendering: None,
            heard: 0,
            complete: false,
            samples: 0,
        }
    }

    pub(super) fn waits_to_begin(&self) -> bool {
        self.sequence.is_none() && !self.utterance.ended() && self.failure.is_none()
    }

    pub(super) fn has_piece(&self) -> bool {
        self.failure.is_none() && self.piece().is_some()
    }

    fn piece(&self) -> Option<Piece> {
        if self.complete { None } else { self.utterance.piece(self.heard) }
    }

    pub(super) fn is_done(&self) -> bool {
        self.failure.is_some() || (self.utterance.ended() && !self.has_piece())
    }

    /// Draws the token after what the sequence holds.
    pub(super) fn draw(&mut self, networks: &N) {
        let Some(sequence) = &self.sequence else { return };
        match self.utterance.draw(networks.outlook(sequence)) {
            Ok(Next::Append(token)) => self.pending = Some(token),
            // Keys and values are the largest thing that a chunk holds.
            Ok(Next::Ended | Next::Again) => (self.sequence, self.pending) = (None, None),
            Err(error) => self.failure = Some(error),
        }
    }

    /// Renders the piece that is due.
    pub(super) fn render(&mut self, networks: &N) -> Result<Vec<f32>, NnError> {
        let Some(piece) = self.piece() else { return Ok(Vec::new()) };
        let plan = || RenderPlan {
            voice: Arc::clone(&self.voice),
            seed: self.utterance.seed(),
            steps: self.settings.cfm_steps,
            first_piece: self.settings.stream_tokens,
        };
        let rendering = self.rendering.get_or_insert_with(|| networks.rendering(plan()));
        let watch = Waiting::on(std::iter::once(&self.request));
        let mut samples = networks.render(rendering, (&piece.tokens, piece.last), &watch)?;
        if piece.last {
            samples.truncate(samples.len().saturating_sub(self.utterance.cut()));
        }
        (self.heard, self.complete) = (piece.heard, piece.last);
        self.samples += samples.len() as u64;
        if !samples.iter().all(|sample| sample.is_finite()) {
            self.failure = Some(EngineError::Failed("the model gave samples that are not finite".to_owned()));
            samples.clear();
        }
        Ok(samples)
    }

    /// Tells how the chunk has ended.
    pub(super) fn report(self, sink: &mut dyn StepSink) {
        let id = self.request.id;
        if let Some(error) = self.failure {
            return sink.finished(id, Err(error));
        }
        if let Some(remark) = self.utterance.remark() {
            report::to_stderr(&remark);
        }
        let words = self.utterance.words(&self.request.text.text, self.samples as usize / SAMPLES_PER_TOKEN);
        sink.timing(id, &words);
        sink.finished(id, Ok(ChunkStats { samples: self.samples, units: self.utterance.units() }));
    }
}
