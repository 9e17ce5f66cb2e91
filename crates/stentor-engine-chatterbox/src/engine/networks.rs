//! What the scheduler drives: the networks as it sees them, so that it is tested without any.

use crate::{model::t3::Family, render::Due, text::TextTokens, voice::Conditionals};
use std::sync::Arc;
use stentor_engine::EngineError;
use stentor_nn::{Draw, Drawn, Result, Watch};
use stentor_types::Language;

/// What a sequence says of its next token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outlook<'a> {
    /// Raw logits of the row that sees the text.
    pub logits: &'a [f32],
    /// Those of the row that does not, if there is one.
    pub unguided: Option<&'a [f32]>,
    /// How much was looked at each token of the text.
    pub attention: &'a [f32],
    /// The token, if the networks have drawn it themselves; there are no logits then.
    pub drawn: Option<Drawn>,
}

/// How the tokens of a chunk are turned into samples.
#[derive(Debug, Clone)]
pub(crate) struct RenderPlan {
    pub voice: Arc<Conditionals>,
    pub seed: u64,
    /// Steps of the flow's solver.
    pub steps: usize,
    /// Tokens of the first piece, each later one having twice as many; zero if there is only one.
    pub first_piece: usize,
}

/// A loaded model of the family.
pub(crate) trait Networks: Send + Sync {
    /// Keys and values of a voice.
    type Prefix: Send + Sync;
    /// A text that is being spoken.
    type Sequence: Send;
    /// Tokens on their way to samples.
    type Rendering: Send;

    fn family(&self) -> Family;
    /// Passes run in the engine's thread pool, and their errors concern one chunk; elsewhere they mean that the device is lost.
    fn on_cpu(&self) -> bool;
    fn encode(&self, text: &str, language: &Language) -> std::result::Result<TextTokens, EngineError>;

    fn prefix(&self, voice: &Conditionals, exaggeration: f32, watch: &dyn Watch) -> Result<Self::Prefix>;
    /// Bytes of a prefix.
    fn prefix_bytes(&self, voice: &Conditionals) -> u64;
    /// See [`T3::start`](crate::model::t3::T3::start).
    fn start(
        &self,
        prefix: &Self::Prefix,
        text: &[u32],
        room: (bool, usize),
        watch: &dyn Watch,
    ) -> Result<Self::Sequence>;
    /// See [`T3::decode_and_draw`](crate::model::t3::T3::decode_and_draw).
    fn decode(
        &self,
        rows: &mut [(&mut Self::Sequence, u32)],
        draws: Vec<Option<Draw>>,
        watch: &dyn Watch,
    ) -> Result<()>;
    fn outlook<'a>(&self, sequence: &'a Self::Sequence) -> Outlook<'a>;

    fn rendering(&self, plan: RenderPlan) -> Self::Rendering;
    /// Frames that go through the flow for what is due of a chunk that has so many tokens and maybe no more.
    fn frames(&self, rendering: &Self::Rendering, tokens: (usize, bool)) -> usize;
    /// The samples that follow what was rendered so far, of several chunks at once. Unless it is the last time, the final three
    /// tokens are only looked ahead at. The outer error is that of a pass, the inner one concerns a single chunk.
    fn render(
        &self,
        due: &mut [Due<'_, Self::Rendering>],
        watch: &dyn Watch,
    ) -> Result<Vec<Result<Vec<f32>>>>;
}
