//! Text to tokens, one front end for each family; every token knows the text that it came from.
//!
//! What the multilingual front end does beside lower case and NFKD: Hangul becomes Jamo; Chinese characters
//! become Cangjie codes, given their table, without which Chinese is not spoken, and its words are parted by
//! spaces, given a word list. It does not turn kanji into hiragana, point Hebrew or mark Russian stress: the
//! reference needs other models for those, and passes the text through where they are missing, as is done
//! here.

mod chinese;
mod files;
pub(crate) mod marked;
mod punctuation;
mod scripts;

use crate::model::t3::Family;
use chinese::{Cangjie, Words};
use marked::{Glyph, Marked};
use std::{collections::BTreeMap, ops::Range, path::PathBuf};
use stentor_engine::EngineError;
use stentor_types::Language;

/// Begins a text of the English and multilingual models.
const START: u32 = 255;
/// Ends one.
const STOP: u32 = 0;
const SPACE: &str = "[SPACE]";
/// Most positions that a text may have.
pub const MAX_TOKENS: usize = 2048;

/// A text as T3 takes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextTokens {
    pub ids: Vec<u32>,
    /// Bytes of the spoken text behind each id; empty for start, stop and language tokens.
    pub source: Vec<Range<usize>>,
}

/// A family's tokenizer.
pub struct Tokenizer {
    family: Family,
    inner: tokenizers::Tokenizer,
    cangjie: Option<Cangjie>,
    words: Option<Words>,
    /// Ids that mark nothing that sounds: the unknown token and those that end or begin a text.
    mute: Vec<u32>,
    tags: Vec<String>,
    vocabulary: usize,
}

impl Tokenizer {
    /// Opens the tokenizer of `files`, by role: `tokenizer` (a `tokenizer.json`; which family's, is seen in
    /// its vocabulary) and optionally `cangjie` (`Cangjie5_TC.json`) and `words` (Chinese words, each with
    /// its count); or `vocab`, `merges` and `added_tokens` (Turbo, Nano). The error names the file.
    pub fn load(files: &BTreeMap<String, PathBuf>) -> Result<Self, String> {
        let inner = files::open(files)?;
        let has = |token: &str| inner.token_to_id(token).is_some();
        let family = if !(has("[START]") && has("[STOP]")) {
            Family::Turbo
        } else if scripts::LANGUAGES.iter().filter(|language| has(&format!("[{language}]"))).count() > 1 {
            Family::Multilingual
        } else {
            Family::English
        };
        let multilingual = family == Family::Multilingual;
        let chinese = |role: &str| files.get(role).filter(|_| multilingual);
        let cangjie = chinese("cangjie").map(|path| files::parse(path, Cangjie::parse)).transpose()?;
        let words = chinese("words").map(|path| files::parse(path, Words::parse)).transpose()?;
        let tags = if family == Family::Turbo { files::cues(&inner) } else { Vec::new() };
        let controls = ["[START]", "[STOP]", "[UNK]", SPACE, "<|endoftext|>"];
        let mute = controls.iter().filter_map(|token| inner.token_to_id(token)).collect();
        let vocabulary = inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1);
        Ok(Self { family, inner, cangjie, words, mute, tags, vocabulary })
    }

    pub fn family(&self) -> Family {
        self.family
    }

    /// The tokens of one chunk, with start and stop tokens where the family has them. None at all when the
    /// text has nothing that the vocabulary can speak: nobody wants to hear what a model makes of a lone full
    /// stop.
    pub fn encode(&self, text: &str, language: &Language) -> Result<TextTokens, EngineError> {
        let mut marked = Marked::new(text);
        punctuation::normalise(&mut marked, self.family);
        if self.family == Family::Multilingual {
            self.multilingual(&mut marked, language)?;
        } else if !language.is_english() {
            return Err(unsupported(language));
        }
        if self.family != Family::Turbo {
            marked.replace(" ", SPACE);
        }
        let tokens = self.tokens(&marked)?;
        if tokens.ids.len() > MAX_TOKENS {
            let limit = text.chars().count() * MAX_TOKENS * 9 / (tokens.ids.len() * 10);
            return Err(EngineError::ChunkTooLong { limit: limit.max(1) });
        }
        Ok(if self.speakable(text, &tokens) { tokens } else { TextTokens::default() })
    }

    /// Languages that can be spoken. These models know one English, and the accent is the voice's; but a British text is
    /// written otherwise, its dates for one, and so must be asked for by its own name.
    pub fn languages(&self) -> Vec<Language> {
        let mut languages = vec![Language::en_us(), Language::en_gb()];
        if self.family == Family::Multilingual {
            let known = scripts::LANGUAGES.iter().filter(|code| **code != "zh" || self.cangjie.is_some());
            let known = known.filter_map(|code| code.parse().ok());
            languages.extend(known.filter(|language: &Language| !language.is_english()));
        }
        languages
    }

    /// Cues such as `[laugh]` that a text may hold.
    pub fn tags(&self) -> Vec<String> {
        self.tags.clone()
    }

    /// One more than the largest id, added ones included.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// The steps of one language, and its tag in front.
    fn multilingual(&self, text: &mut Marked, language: &Language) -> Result<(), EngineError> {
        let code = match language.primary() {
            "nb" | "nn" => "no",
            other => other,
        };
        if !scripts::LANGUAGES.contains(&code) {
            return Err(unsupported(language));
        }
        scripts::lower(text);
        scripts::decompose(text);
        match (code, &self.cangjie) {
            ("zh", Some(cangjie)) => {
                if let Some(words) = &self.words {
                    words.part(text);
                }
                cangjie.encode(text);
            }
            ("zh", None) => return Err(unsupported(language)),
            ("ko", _) => text.trim(), // its syllables are Jamo already
            _ => {}
        }
        let tag = format!("[{code}]");
        text.glyphs.splice(0..0, tag.chars().map(|character| Glyph { character, from: 0..0 }));
        Ok(())
    }

    fn tokens(&self, text: &Marked) -> Result<TextTokens, EngineError> {
        let (flat, from) = text.flatten();
        let encoding = self
            .inner
            .encode(flat.as_str(), true)
            .map_err(|error| EngineError::Failed(format!("the text has no tokens: {error}")))?;
        let framed = self.family != Family::Turbo;
        let mut tokens = TextTokens::default();
        let mut end = 0;
        if framed {
            tokens.push(START, 0..0);
        }
        for (&id, &(first, last)) in encoding.get_ids().iter().zip(encoding.get_offsets()) {
            // A client who writes "[STOP]" must not end the text.
            if framed && (id == START || id == STOP) {
                continue;
            }
            let behind = from.get(first..last).unwrap_or_default();
            let bounds = behind.iter().filter(|range| !range.is_empty());
            let source =
                bounds.cloned().reduce(|all, range| all.start.min(range.start)..all.end.max(range.end));
            let source = source.unwrap_or(end..end);
            end = source.end;
            tokens.push(id, source);
        }
        if framed {
            tokens.push(STOP, end..end);
        }
        Ok(tokens)
    }

    /// Some token that the model knows stands for a letter, a digit or a cue.
    fn speakable(&self, text: &str, tokens: &TextTokens) -> bool {
        tokens.ids.iter().zip(&tokens.source).any(|(id, source)| {
            let letters = text.get(source.clone()).unwrap_or_default();
            !self.mute.contains(id) && letters.contains(char::is_alphanumeric)
        })
    }
}

impl TextTokens {
    fn push(&mut self, id: u32, source: Range<usize>) {
        self.ids.push(id);
        self.source.push(source);
    }
}

fn unsupported(language: &Language) -> EngineError {
    EngineError::Rejected(format!("this model can't speak `{language}`"))
}
