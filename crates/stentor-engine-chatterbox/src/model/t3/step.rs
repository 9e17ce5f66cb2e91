//! One token more for each of several sequences.

use super::{Positions, Run, Sequence, T3, host};
use candle_core::Tensor;
use std::sync::atomic::Ordering;
use stentor_nn::{Draw, KvCache, Result, Step, StepBy, Stepped, Watch};

impl T3 {
    /// Appends one token to each sequence, all in one pass; each then has the logits of its next token. What a sequence gets does
    /// not depend on its neighbours. After an error, every sequence is as it was before.
    pub fn decode(&self, rows: &mut [(&mut Sequence, u32)], watch: &dyn Watch) -> Result<()> {
        let draws = vec![None; rows.len()];
        self.decode_and_draw(rows, draws, watch)
    }

    /// The same, and where steps are computed by kernels of ours, each sequence that has a draw gets its next token instead of the
    /// logits. `draws` are as many as `rows`.
    pub fn decode_and_draw(
        &self,
        rows: &mut [(&mut Sequence, u32)],
        draws: Vec<Option<Draw>>,
        watch: &dyn Watch,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let input = self.next_input(rows)?;
        let step = Step {
            input,
            caches: rows.iter().map(|(sequence, _)| &sequence.cache).collect(),
            texts: rows.iter().map(|(sequence, _)| sequence.text.clone()).collect(),
            draws,
        };
        let done = match &self.decoder {
            Some(decoder) => decoder.step(step, watch)?,
            None => Err(step),
        };
        let (stepped, asked) = match done {
            Ok(stepped) => (stepped, true),
            Err(Step { input, .. }) => (self.step_by_ops(rows, input, watch)?, false),
        };
        // From here on nothing can fail.
        let (mut logits, size) = (stepped.logits.as_slice(), self.speech.rows());
        let mut drawn = stepped.drawn.into_iter().filter(|_| asked);
        for ((sequence, _), attention) in rows.iter_mut().zip(stepped.looks) {
            let (own, rest) = logits.split_at((sequence.cache.rows() * size).min(logits.len()));
            sequence.drawn = drawn.next().flatten();
            sequence.logits.clear();
            if sequence.drawn.is_none() {
                sequence.logits.extend_from_slice(own);
            }
            sequence.attention = attention;
            sequence.spoken += 1;
            sequence.cache.advance(1);
            logits = rest;
        }
        Ok(())
    }

    /// How steps are brought to a card; elsewhere it changes nothing.
    pub fn step_by(&self, how: StepBy) {
        self.decoder.iter().for_each(|decoder| decoder.step_by(how));
    }

    /// One line for the operator, once, if steps on a card are slower than they could be.
    pub fn take_remark(&self) -> Option<String> {
        match &self.decoder {
            Some(decoder) => decoder.take_remark(),
            None if self.device.is_cuda() && !self.remarked.swap(true, Ordering::Relaxed) => {
                Some("T3 steps go through candle's ops: no kernels of ours fit this model's sizes".to_owned())
            }
            None => None,
        }
    }

    /// What goes in: each token's row for each row of its cache.
    fn next_input(&self, rows: &[(&mut Sequence, u32)]) -> Result<Vec<f32>> {
        let mut input = Vec::new();
        for (sequence, token) in rows {
            let mut row = vec![0.0; self.width];
            self.speech.add(*token as usize, &mut row)?;
            match &self.positions {
                Positions::Own { speech, .. } => speech.add(sequence.spoken + 1, &mut row)?,
                Positions::All(all) => all.add(sequence.cache.len(), &mut row)?,
            }
            (0..sequence.cache.rows()).for_each(|_| input.extend_from_slice(&row));
        }
        Ok(input)
    }

    fn step_by_ops(
        &self,
        rows: &mut [(&mut Sequence, u32)],
        input: Vec<f32>,
        watch: &dyn Watch,
    ) -> Result<Stepped> {
        let texts = rows.iter().map(|(sequence, _)| sequence.text.clone()).collect();
        let caches: Vec<&mut KvCache> = rows.iter_mut().map(|(sequence, _)| &mut sequence.cache).collect();
        let mut run = Run { caches, texts };
        let (hidden, looks) = self.backbone.forward(self.rows(input)?, &mut run, watch)?;
        let logits = host(&self.head.forward(&hidden, watch)?)?;
        let attention = |look: Option<Tensor>| look.map_or(Ok(Vec::new()), |look| host(&look));
        let looks = looks.into_iter().map(attention).collect::<Result<Vec<_>>>()?;
        Ok(Stepped { logits, looks, drawn: Vec::new() })
    }
}
