//! A chunk in the engine: its request, its tokens and its samples so far.

use super::{
    networks::{Networks, RenderPlan},
    params::Settings,
    utterance::{Next, Piece, Utterance},
};
use crate::{model::SAMPLES_PER_TOKEN, render::Due, voice::Conditionals};
use std::sync::Arc;
use stentor_engine::{ChunkRequest, ChunkStats, EngineError, StepSink};

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

    /// Steps until a piece is due, if none is yet.
    pub(super) fn due_in(&self) -> Option<usize> {
        if self.has_piece() || self.pending.is_none() { None } else { self.utterance.due_in() }
    }

    /// The piece that is due, and the frames that go through the flow for it.
    pub(super) fn due(&mut self, networks: &N) -> Option<(Piece, usize)> {
        let piece = self.piece().filter(|_| self.failure.is_none())?;
        let plan = || RenderPlan {
            voice: Arc::clone(&self.voice),
            seed: self.utterance.seed(),
            steps: self.settings.cfm_steps,
            first_piece: self.settings.stream_tokens,
        };
        let rendering = self.rendering.get_or_insert_with(|| networks.rendering(plan()));
        let frames = networks.frames(rendering, (piece.tokens.len(), piece.last));
        Some((piece, frames))
    }

    /// `piece` for a pass, once it was found to be [`Slot::due`].
    pub(super) fn in_pass<'a>(&'a mut self, piece: &'a Piece) -> Option<Due<'a, N::Rendering>> {
        let Piece { tokens, last, .. } = piece;
        let rendering = self.rendering.as_mut()?;
        Some(Due { rendering, tokens, last: *last, cancel: &self.request.cancel })
    }

    /// What is to be heard of the samples of a piece.
    pub(super) fn heard(&mut self, piece: &Piece, mut samples: Vec<f32>) -> Vec<f32> {
        if piece.last {
            samples.truncate(samples.len().saturating_sub(self.utterance.cut()));
        }
        (self.heard, self.complete) = (piece.heard, piece.last);
        self.samples += samples.len() as u64;
        if !samples.iter().all(|sample| sample.is_finite()) {
            self.failure = Some(EngineError::Failed("the model gave samples that are not finite".to_owned()));
            samples.clear();
        }
        samples
    }

    /// Tells how the chunk has ended.
    pub(super) fn report(self, sink: &mut dyn StepSink) {
        let id = self.request.id;
        if let Some(error) = self.failure {
            return sink.finished(id, Err(error));
        }
        if let Some(remark) = self.utterance.remark() {
            stentor_engine::report(&remark);
        }
        let words = self.utterance.words(&self.request.text.text, self.samples as usize / SAMPLES_PER_TOKEN);
        sink.timing(id, &words);
        sink.finished(id, Ok(ChunkStats { samples: self.samples, units: self.utterance.units() }));
    }
}
