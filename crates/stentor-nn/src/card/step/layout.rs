//! Where the numbers of a step lie: what goes to the card, what is computed there, what comes back. Pure arithmetic, which a test runs
//! on the host with the kernels.

use super::{
    params::Place,
    plan::{ModelAt, Room, SPLITS},
};
use crate::{Draw, HEAD};
use std::ops::Range;

/// Rows of the largest step; what has more goes through the layers' ops.
pub(super) const MOST_ROWS: usize = 32;
/// Positions of all texts together whose attention can be looked at.
pub(super) const MOST_LOOKS: usize = 16 * 1024;
/// Numbers of rows that are recorded; a step with fewer is filled up with rows that are not there.
const BUCKETS: [usize; 10] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32];

/// The smallest bucket that has room for `rows`.
pub(super) fn bucket(rows: usize) -> usize {
    BUCKETS.into_iter().find(|&bucket| bucket >= rows).unwrap_or(rows)
}

/// Bytes of a row's place and of whose text is looked at.
const ROW: usize = 24;
const WATCHED: usize = 16;
/// Numbers; whatever is read sixteen bytes at once begins at such a place.
const ALIGNED: usize = 64;

/// A cache in a step.
pub(super) struct CacheAt<'a> {
    /// Its keys and values.
    pub(super) slab: Place,
    pub(super) rows: usize,
    pub(super) capacity: usize,
    /// Positions that it holds.
    pub(super) len: usize,
    pub(super) text: Range<usize>,
    pub(super) draw: Option<&'a Draw>,
}

/// Where the parts of an upload begin, in bytes. The first is the input.
pub(super) struct Upload {
    rows: usize,
    watched: usize,
    draws: usize,
    pub(super) end: usize,
}

impl Upload {
    pub(super) fn new(model: &ModelAt, bucket: usize) -> Self {
        let rows = bucket * model.width * size_of::<f32>();
        let watched = rows + bucket * ROW;
        let draws = watched + bucket * WATCHED;
        Self { rows, watched, draws, end: draws + bucket * Draw::WORDS * size_of::<u32>() }
    }

    /// The bytes of a step: its input, its rows, whose text is looked at, how tokens are drawn. What fills the bucket up is zero.
    pub(super) fn bytes(&self, model: &ModelAt, input: &[f32], caches: &[CacheAt<'_>]) -> Vec<u8> {
        let mut bytes: Vec<u8> = input.iter().flat_map(|value| value.to_le_bytes()).collect();
        let put = |bytes: &mut Vec<u8>, words: &[u32]| {
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        };
        bytes.resize(self.rows, 0);
        for cache in caches {
            let own = model.heads * cache.capacity * HEAD;
            let size = if model.half { 2 } else { 4 };
            for row in 0..cache.rows {
                bytes.extend((cache.slab + (row * own * size) as Place).to_le_bytes());
                let places = [cache.rows * own, cache.capacity, cache.len, 0];
                put(&mut bytes, &places.map(|place| place as u32));
            }
        }
        bytes.resize(self.watched, 0);
        let (mut row, mut offset) = (0, 0);
        for cache in caches {
            let text = [row, cache.text.start, cache.text.len(), offset];
            put(&mut bytes, &text.map(|place| place as u32));
            row += cache.rows;
            offset += cache.text.len();
        }
        bytes.resize(self.draws, 0);
        row = 0;
        for cache in caches {
            let words = cache.draw.map(|draw| draw.words(row, cache.rows > 1));
            put(&mut bytes, &words.unwrap_or_else(|| vec![0; Draw::WORDS]));
            row += cache.rows;
        }
        bytes.resize(self.end, 0);
        bytes
    }
}

/// The parts of what is computed, in numbers.
pub(super) struct Work {
    /// Where each begins: normed, qkv, seen, inner, logits, partials, arrived, totals, looks.
    starts: [usize; 9],
    pub(super) end: usize,
}

impl Work {
    pub(super) fn new(model: &ModelAt) -> Self {
        let rows = MOST_ROWS;
        let inner = model.blocks.iter().map(|block| block.down.depth).max().unwrap_or(0);
        let sizes = [
            rows * model.width,
            rows * 3 * model.width,
            rows * model.width,
            rows * inner,
            rows * model.head.outs,
            rows * model.heads * SPLITS * (HEAD + 2),
            rows * model.heads,
            rows * model.heads * 2,
            model.slots * MOST_LOOKS,
        ];
        let mut end = 0;
        let starts = sizes.map(|size| {
            let start = end;
            end += size.next_multiple_of(ALIGNED);
            start
        });
        Self { starts, end }
    }

    /// The logits of the first `rows` rows.
    pub(super) fn logits(&self, model: &ModelAt, rows: usize) -> Range<usize> {
        self.starts[4]..self.starts[4] + rows * model.head.outs
    }
}

/// Numbers of an answer of the largest step: a token for each row, then the looks.
pub(super) const ANSWER: usize = MOST_ROWS + MOST_LOOKS;

/// The places of a step, given where upload, work and answer begin.
pub(super) fn room(model: &ModelAt, bucket: usize, [sent, work, answer]: [Place; 3]) -> Room {
    let place = |start: Place, bytes: usize| start + bytes as Place;
    let upload = Upload::new(model, bucket);
    let [normed, qkv, seen, inner, logits, partials, arrived, totals, looks] =
        Work::new(model).starts.map(|start| place(work, start * size_of::<f32>()));
    Room {
        x: sent,
        rows: place(sent, upload.rows),
        watched: place(sent, upload.watched),
        draws: place(sent, upload.draws),
        normed,
        qkv,
        seen,
        inner,
        logits,
        partials,
        arrived,
        totals,
        looks,
        tokens: answer,
        mean: place(answer, bucket * size_of::<u32>()),
        stride: MOST_LOOKS,
    }
}
