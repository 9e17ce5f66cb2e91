//! T3: text and a voice to speech tokens, one at a time.
//!
//! A voice's conditioning tokens are run once and their keys and values copied into each sequence. With guidance a sequence
//! has a second row that sees positions in place of the text; both rows, and those of other sequences, step together.

mod backbone;
mod cond;
mod gpt2;
mod llama;
mod load;
mod step;
mod table;

use crate::{model::START_SPEECH, voice::T3Prompt};
use backbone::{Backbone, Run};
use candle_core::{Device, Tensor};
use cond::Conditioning;
use std::{ops::Range, sync::atomic::AtomicBool};
use stentor_nn::{Decoder, Drawn, HEAD, KvCache, Linear, Result, Watch};
use table::{Table, refuse};

/// Which of the family a checkpoint is, as far as T3 tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// 704 text tokens, Llama.
    English,
    /// 2454 text tokens, Llama.
    Multilingual,
    /// GPT-2: Turbo, or with 12 layers Nano.
    Turbo,
}

/// The language model.
pub struct T3 {
    family: Family,
    device: Device,
    width: usize,
    conditioning: Conditioning,
    backbone: Backbone,
    /// Hidden state to logits; f32 on every device.
    head: Linear,
    text: Table,
    speech: Table,
    positions: Positions,
    /// Runs steps where a card has kernels for it.
    decoder: Option<Decoder>,
    /// Whether it was told that there is none on a card.
    remarked: AtomicBool,
}

/// How positions are told apart, beside what the attention does.
enum Positions {
    /// Text and speech are counted each for itself. The speech of the prompt counts too.
    Own { text: Table, speech: Table },
    /// Everything is counted from the beginning of the sequence.
    All(Table),
}

/// The constant beginning of every sequence of a voice: its keys and values, computed once.
pub struct Prefix {
    cache: KvCache,
}

/// One text that is being spoken: one row, or two with classifier-free guidance.
pub struct Sequence {
    cache: KvCache,
    /// Where the text stands.
    text: Range<usize>,
    /// Tokens that were appended.
    spoken: usize,
    /// Of one row after the other; none if the next token has been drawn already.
    logits: Vec<f32>,
    attention: Vec<f32>,
    drawn: Option<Drawn>,
}

impl T3 {
    pub fn family(&self) -> Family {
        self.family
    }

    /// Tokens of text that there are embeddings for.
    pub fn text_tokens(&self) -> usize {
        self.text.rows()
    }

    /// Blocks of the transformer.
    pub fn layers(&self) -> usize {
        self.backbone.shape.layers
    }

    /// Bytes of the weights on the device, without the norms' few kilobytes.
    pub fn weight_bytes(&self) -> u64 {
        let positions = match &self.positions {
            Positions::Own { text, speech } => text.bytes() + speech.bytes(),
            Positions::All(all) => all.bytes(),
        };
        let tables =
            if self.device.is_cpu() { self.text.bytes() + self.speech.bytes() + positions } else { 0 };
        self.conditioning.bytes() + self.backbone.bytes() + self.head.bytes() + tables
    }

    /// Bytes of keys and values that one row of `positions` needs.
    pub fn cache_bytes(&self, positions: usize) -> u64 {
        let shape = self.backbone.shape;
        (2 * shape.layers * shape.heads * HEAD * positions * shape.dtype.size_in_bytes()) as u64
    }

    /// Embeds and runs the conditioning tokens of a voice. Turbo and Nano take no notice of `exaggeration`. A speaker of another
    /// size or speech tokens that don't exist are errors; without any, the voice is its speaker's embedding alone.
    pub fn prefix(&self, voice: &T3Prompt, exaggeration: f32, watch: &dyn Watch) -> Result<Prefix> {
        let mut prompt = vec![0.0; voice.tokens.len() * self.width];
        for (position, (token, out)) in
            voice.tokens.iter().zip(prompt.chunks_exact_mut(self.width)).enumerate()
        {
            self.speech.add(*token as usize, out)?;
            if let Positions::Own { speech, .. } = &self.positions {
                speech.add(position, out)?;
            }
        }
        let prompt = (!voice.tokens.is_empty()).then(|| self.rows(prompt)).transpose()?;
        let mut x = self.conditioning.forward(&voice.speaker, prompt.as_ref(), exaggeration, watch)?;
        watch.layer("t3.prefix", &x);
        let len = x.dim(0)?;
        if let Positions::All(table) = &self.positions {
            let mut positions = vec![0.0; len * self.width];
            for (position, out) in positions.chunks_exact_mut(self.width).enumerate() {
                table.add(position, out)?;
            }
            x = (x + self.rows(positions)?)?;
        }
        let mut cache = KvCache::new(self.backbone.shape, 1, len, &self.device)?;
        let mut run = Run { caches: vec![&mut cache], texts: std::iter::once(0..0).collect() };
        self.backbone.forward(x, &mut run, watch)?;
        cache.advance(len);
        Ok(Prefix { cache })
    }

    /// Runs the text after `prefix`, and the beginning of speech; the sequence then has the logits of its first token.
    /// `text` is what the tokenizer gave, with its start and stop tokens where the family has them. With `guided` there is
    /// a second row that does not see the text; GPT-2 has none. Room is made for `max_new` tokens. A text or `max_new` that the
    /// model has no positions for, or a token that it doesn't know, is an error.
    pub fn start(
        &self,
        prefix: &Prefix,
        text: &[u32],
        (guided, max_new): (bool, usize),
        watch: &dyn Watch,
    ) -> Result<Sequence> {
        let (before, guided) = (prefix.cache.len(), guided && self.family != Family::Turbo);
        self.check_room(before, text.len(), max_new)?;
        let mut input = self.embed(before, text, true)?;
        let new = input.len() / self.width;
        if guided {
            input.extend(self.embed(before, text, false)?);
        }
        let rows = if guided { 2 } else { 1 };
        let mut cache = prefix.cache.fork(rows, before + new + max_new)?;
        let at = before..before + text.len();
        let mut run = Run { caches: vec![&mut cache], texts: vec![at.clone()] };
        let (hidden, looks) = self.backbone.forward(self.rows(input)?, &mut run, watch)?;
        let last = |row| Ok(hidden.narrow(0, (row + 1) * new - 1, 1)?);
        let last = (0..rows).map(last).collect::<Result<Vec<_>>>()?;
        let logits = host(&self.head.forward(&Tensor::cat(&last, 0)?, watch)?)?;
        let attention = looks.into_iter().flatten().next().map_or(Ok(Vec::new()), |look| host(&look))?;
        cache.advance(new);
        Ok(Sequence { cache, text: at, spoken: 0, logits, attention, drawn: None })
    }

    /// `values` as a matrix of the model's width on its device.
    fn rows(&self, values: Vec<f32>) -> Result<Tensor> {
        let rows = values.len() / self.width;
        Ok(Tensor::from_vec(values, (rows, self.width), &self.device)?)
    }

    fn check_room(&self, before: usize, text: usize, max_new: usize) -> Result<()> {
        let fits = |what: &str, asked: usize, known: usize| {
            let message = || format!("{what} of {asked} tokens, where the model has {known} positions");
            if asked <= known { Ok(()) } else { Err(refuse(message())) }
        };
        match &self.positions {
            Positions::Own { text: texts, speech } => {
                fits("a text", text, texts.rows())?;
                fits("speech", max_new.saturating_add(1), speech.rows())
            }
            Positions::All(all) => {
                fits("a voice, a text and speech", (before + text + 1).saturating_add(max_new), all.rows())
            }
        }
    }

    /// The text and the beginning of speech as they follow `before` positions. Without `seen`, the text is its positions alone.
    fn embed(&self, before: usize, text: &[u32], seen: bool) -> Result<Vec<f32>> {
        // The learnt way to begin: the beginning of speech stands there twice, at the same position.
        let starts = if matches!(self.positions, Positions::Own { .. }) { 2 } else { 1 };
        let mut rows = vec![0.0; (text.len() + starts) * self.width];
        for (index, row) in rows.chunks_exact_mut(self.width).enumerate() {
            let token = text.get(index);
            match token {
                Some(token) if seen => self.text.add(*token as usize, row)?,
                Some(_) => {}
                None => self.speech.add(START_SPEECH as usize, row)?,
            }
            match &self.positions {
                Positions::Own { text, .. } if token.is_some() => text.add(index, row)?,
                Positions::Own { speech, .. } => speech.add(0, row)?,
                Positions::All(all) => all.add(before + index, row)?,
            }
        }
        Ok(rows)
    }
}

/// A tensor's numbers in host memory.
fn host(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

impl Sequence {
    /// What was drawn where the logits were computed, if that was asked for. There are no logits here then.
    pub fn drawn(&self) -> Option<Drawn> {
        self.drawn
    }

    /// Raw logits of the row that sees the text.
    pub fn logits(&self) -> &[f32] {
        &self.logits[..self.logits.len() / self.cache.rows()]
    }

    /// Raw logits of the row that does not, if there is one.
    pub fn unguided_logits(&self) -> Option<&[f32]> {
        let size = self.logits.len() / self.cache.rows();
        self.logits.get(size..2 * size).filter(|_| self.cache.rows() > 1)
    }

    /// How much the latest position looked at each text token: mean over the heads that align, one value a token of `text`.
    /// The published English and multilingual models have three such heads; elsewhere it is the mean over all heads of the two
    /// middle layers, which is a guess.
    pub fn attention(&self) -> &[f32] {
        &self.attention
    }

    /// Tokens that can still be appended.
    pub fn room(&self) -> usize {
        self.cache.room()
    }
}
