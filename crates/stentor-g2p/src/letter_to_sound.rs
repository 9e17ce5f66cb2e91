//! Letter to sound: a recurrent network of our own that reads words no dictionary holds.
//!
//! Two bidirectional GRU layers (96 units) look at the whole word; every letter yields two slots of a CTC alphabet
//! whose tokens are phonemes with their stress mark ("ˈA", "ɔː"). It was trained on the misaki dictionaries,
//! American and British at once, by `training/letter_to_sound.py`, which also writes the embedded table (8-bit
//! weights, one scale a row). Chosen over hand rules and per-letter decision trees because stress and vowel
//! reduction depend on the whole word, which is what those get wrong. Building unknown words from known stems,
//! prefixes, endings and compound halves was tried before the network and dropped: on held-out words it was
//! worse than the network for all of them (compounds 8.3 % against 4.3 % phoneme errors, prefixes 4.9 against
//! 3.9, inflections 3.6 against 3.1) save endings in American (3.5 against 4.0). Accuracy on words that were held out of the
//! training is measured and asserted by `english::accuracy`.

use std::sync::OnceLock;

static TABLE: &[u8] = include_bytes!("letter_to_sound.bin");

#[cfg(test)]
/// Every this-many-th word was held out of the training.
const HELD_OUT_IN: u64 = 40;

/// The network with its weights as f32.
pub(crate) struct LetterToSound {
    embedding: usize,
    slots: usize,
    letters: usize,
    tokens: Vec<String>,
    /// `[accent][letter][embedding]`, flat.
    sums: Vec<f32>,
    /// Per layer: forward and backward direction.
    layers: [[Gru; 2]; 2],
    output: Affine,
}

struct Gru {
    input: Affine,
    recurrent: Affine,
}

/// `y = W x + b` with `W` in rows.
struct Affine {
    columns: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Affine {
    fn apply(&self, x: &[f32], y: &mut Vec<f32>) {
        y.clear();
        y.extend(
            self.weights.chunks_exact(self.columns).zip(&self.bias).map(|(row, bias)| bias + dot(row, x)),
        );
    }
}

/// Eight partial sums, so that the compiler can use vector registers; all widths here are multiples of eight.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

impl Gru {
    /// Runs over `x` (`steps` rows) and writes the states to `out[step][at..at + hidden]`.
    fn run(&self, x: &[Vec<f32>], backward: bool, out: &mut [Vec<f32>], at: usize) {
        let hidden = self.recurrent.columns;
        let (mut from_input, mut from_state) = (Vec::new(), Vec::new());
        let mut state = vec![0.0f32; hidden];
        for i in 0..x.len() {
            let step = if backward { x.len() - 1 - i } else { i };
            self.input.apply(&x[step], &mut from_input);
            self.recurrent.apply(&state, &mut from_state);
            for (j, h) in state.iter_mut().enumerate() {
                let reset = sigmoid(from_input[j] + from_state[j]);
                let update = sigmoid(from_input[hidden + j] + from_state[hidden + j]);
                let new = (from_input[2 * hidden + j] + reset * from_state[2 * hidden + j]).tanh();
                *h = (1.0 - update) * new + update * *h;
            }
            out[step][at..at + hidden].copy_from_slice(&state);
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

impl LetterToSound {
    /// The embedded network; unpacked on first use.
    pub(crate) fn embedded() -> &'static Self {
        static NETWORK: OnceLock<LetterToSound> = OnceLock::new();
        NETWORK.get_or_init(|| Self::unpack(Reader(TABLE)))
    }

    #[cfg(test)]
    /// Whether `word` (lower case) was kept out of the training; what accuracy is measured on.
    pub(crate) fn held_out(word: &str) -> bool {
        stentor_types::content_hash(&[word]).is_multiple_of(HELD_OUT_IN)
    }

    /// Reads `word`, of which only the ASCII letters count, in misaki's symbols with stress marks. Empty for no letters.
    pub(crate) fn read(&self, word: &str, british: bool) -> String {
        let letters: Vec<usize> = word
            .bytes()
            .filter(u8::is_ascii_alphabetic)
            .map(|b| usize::from(b.to_ascii_lowercase() - b'a'))
            .collect();
        // Long runs are no words; reading them in pieces bounds the time of one call.
        let pieces: Vec<String> = letters.chunks(40).map(|piece| self.read_piece(piece, british)).collect();
        pieces.concat()
    }

    fn read_piece(&self, letters: &[usize], british: bool) -> String {
        let accent = usize::from(british) * self.letters;
        let mut x: Vec<Vec<f32>> = letters
            .iter()
            .map(|letter| self.sums[(accent + letter) * self.embedding..][..self.embedding].to_vec())
            .collect();
        for [forward, backward] in &self.layers {
            let hidden = forward.recurrent.columns;
            let mut y = vec![vec![0.0; 2 * hidden]; x.len()];
            forward.run(&x, false, &mut y, 0);
            backward.run(&x, true, &mut y, hidden);
            x = y;
        }
        self.decode(&x)
    }

    /// Best token of every slot, repeats merged and blanks dropped, with exactly one primary stress.
    fn decode(&self, states: &[Vec<f32>]) -> String {
        let mut logits = Vec::new();
        let mut found: Vec<(usize, f32)> = Vec::new();
        let mut last = 0;
        for state in states {
            self.output.apply(state, &mut logits);
            for slot in logits.chunks_exact(logits.len() / self.slots) {
                let (best, value) = argmax(slot);
                if best != 0 && best != last {
                    found.push((best, value));
                }
                last = best;
            }
        }
        self.spell(&found)
    }

    fn spell(&self, found: &[(usize, f32)]) -> String {
        let token = |index: usize| self.tokens[index - 1].as_str();
        let strongest = |wanted: fn(&str) -> bool| {
            found
                .iter()
                .enumerate()
                .filter(|(_, (index, _))| wanted(token(*index)))
                .max_by(|a, b| a.1.1.total_cmp(&b.1.1))
                .map(|(at, _)| at)
        };
        let primary = strongest(|token| token.starts_with('ˈ'))
            .or_else(|| strongest(|token| token.starts_with('ˌ')))
            .or_else(|| strongest(|token| token.starts_with(|c| "AIOQWYaiuæɑɒɔɛɜɪʊʌ".contains(c))))
            .or_else(|| strongest(|token| token.starts_with(crate::symbols::is_vowel)));
        let mut out = String::new();
        for (at, (index, _)) in found.iter().enumerate() {
            let token = token(*index);
            let bare = token.trim_start_matches(['ˈ', 'ˌ']);
            if primary == Some(at) {
                out.push('ˈ');
            } else if bare != token {
                out.push('ˌ');
            }
            out.push_str(bare);
        }
        out
    }

    fn unpack(mut reader: Reader<'_>) -> Self {
        let letters = reader.u16();
        let embedding = reader.u16();
        let hidden = reader.u16();
        let slots = reader.u16();
        let count = reader.u16();
        let length = reader.u32();
        let tokens: Vec<String> =
            String::from_utf8_lossy(reader.take(length)).lines().map(str::to_owned).collect();
        let sums = reader.floats(2 * letters * embedding);
        let mut gru = |inputs| Gru {
            input: reader.affine(3 * hidden, inputs),
            recurrent: reader.affine(3 * hidden, hidden),
        };
        let layers = [[gru(embedding), gru(embedding)], [gru(2 * hidden), gru(2 * hidden)]];
        let output = reader.affine(slots * (count + 1), 2 * hidden);
        Self { embedding, slots, letters, tokens, sums, layers, output }
    }
}

fn argmax(values: &[f32]) -> (usize, f32) {
    values.iter().copied().enumerate().fold(
        (0, f32::NEG_INFINITY),
        |best, next| {
            if next.1 > best.1 { next } else { best }
        },
    )
}

/// Reads the embedded table, whose length the compiler fixed; running off its end is a build mistake.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(length);
        self.0 = tail;
        head
    }
    fn u16(&mut self) -> usize {
        self.take(2).iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    }
    fn u32(&mut self) -> usize {
        self.take(4).iter().rev().fold(0, |value, byte| value << 8 | usize::from(*byte))
    }
    fn floats(&mut self, count: usize) -> Vec<f32> {
        self.take(4 * count).chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }
    fn affine(&mut self, rows: usize, columns: usize) -> Affine {
        let mut weights = Vec::with_capacity(rows * columns);
        for _ in 0..rows {
            let scale = self.floats(1)[0];
            weights.extend(self.take(columns).iter().map(|b| f32::from(b.cast_signed()) * scale));
        }
        Affine { columns, weights, bias: self.floats(rows) }
    }
}
