//! The answer of `POST /v1/audio/phonemize`: no wire type of OpenAI's, so it stands beside its handler.

use crate::synthesis::trace::{Reading, TracedWord};
use serde::Serialize;
use stentor_text::lexicon::Entry;
use utoipa::ToSchema;

/// How a text is read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PhonemizeAnswer<'a> {
    object: &'static str,
    model: &'a str,
    voice: &'a str,
    language: &'a str,
    /// What the model is given; a line for each piece that it speaks at once.
    normalized: &'a str,
    /// Absent as `null` for models that use none.
    phonemes: Option<&'a str>,
    words: Vec<Word<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhonemizedWord)]
struct Word<'a> {
    /// As the client wrote it, without tags and with the characters that entities stand for.
    #[serde(rename = "word")]
    written: &'a str,
    /// Where it stands in `input`, in characters.
    start_char: usize,
    end_char: usize,
    /// What is spoken for it.
    spoken: &'a str,
    /// Who made `spoken` of `word`: `none`, `normalizer`, `lexicon` or an element of SSML.
    rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<LexiconEntry<'a>>,
    parts: Vec<Part<'a>>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = MatchedEntry)]
struct LexiconEntry<'a> {
    /// `request` or `server`.
    lexicon: &'static str,
    /// Among the entries of that lexicon, from zero.
    index: usize,
    word: &'a str,
    case: &'static str,
    language: Option<&'a str>,
    replace: Option<&'a str>,
    ipa: Option<&'a str>,
}

/// A word as the phonemizer sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PhonemizedPart)]
struct Part<'a> {
    text: &'a str,
    phonemes: &'a str,
    /// `dictionary`, `number`, `markup`, `spelled`, `letter-to-sound`, `transliterated` or `espeak`.
    rule: &'a str,
}

impl<'a> PhonemizeAnswer<'a> {
    /// `input` is the client's text.
    pub(super) fn new(reading: &'a Reading, input: &'a str) -> Self {
        let mut chars = Characters { text: input, bytes: 0, chars: 0 };
        Self {
            object: "phonemes",
            model: &reading.model,
            voice: &reading.voice,
            language: reading.language.as_str(),
            normalized: &reading.normalized,
            phonemes: reading.phonemes.as_deref(),
            words: reading.words.iter().map(|word| Word::new(word, &mut chars)).collect(),
        }
    }
}

impl<'a> Word<'a> {
    fn new(word: &'a TracedWord, chars: &mut Characters<'_>) -> Self {
        let parts = word.parts.iter();
        Self {
            written: &word.written,
            start_char: chars.before(word.source.start),
            end_char: chars.before(word.source.end),
            spoken: &word.spoken,
            rule: word.rule.clone(),
            entry: word
                .entry
                .as_ref()
                .map(|(lexicon, index, entry)| LexiconEntry::new(lexicon, *index, entry)),
            parts: parts.map(|(text, phonemes, rule)| Part { text, phonemes, rule }).collect(),
        }
    }
}

impl<'a> LexiconEntry<'a> {
    fn new(lexicon: &'static str, index: usize, entry: &'a Entry) -> Self {
        Self {
            lexicon,
            index,
            word: entry.word(),
            case: entry.case().name(),
            language: entry.language(),
            replace: entry.replace(),
            ipa: entry.ipa(),
        }
    }
}

/// Counts characters up to bytes that ascend, so that a long text is gone through once.
struct Characters<'a> {
    text: &'a str,
    bytes: usize,
    chars: usize,
}

impl Characters<'_> {
    fn before(&mut self, at: usize) -> usize {
        if at < self.bytes {
            (self.bytes, self.chars) = (0, 0);
        }
        self.chars += self.text.get(self.bytes..at).map_or(0, |between| between.chars().count());
        self.bytes = at;
        self.chars
    }
}
