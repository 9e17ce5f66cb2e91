//! Grapheme to phoneme: dictionaries, letter-to-sound, and espeak-ng as a separate process.
//!
//! English (`en-us`, `en-gb`) is built in. A word is looked for in the misaki dictionaries as the part-of-speech
//! tagger directs (with -s, -ed and -ing taken off where need be), then cut where it is hyphenated or in camel case,
//! then read by a small recurrent network that was trained on those dictionaries (`letter_to_sound`); what has no
//! vowel is spelled out. No digit and no word is ever silent: other
//! scripts are put into Latin letters first (Cyrillic, Greek by tables, the rest by `deunicode`). The crate `misaki-rs` serves as a library of
//! parts (tokenizer, tagger, dictionary); its own pipeline is not used, because it hands compounds with one
//! unknown half to a fallback whole.
//!
//! Every other language goes through the program `espeak-ng` where it is installed ([`EspeakMode`]).
//!
//! The output is written in misaki's symbols, the inventory of Kokoro's vocabulary ([`symbols::VOCABULARY`]).

mod clean;
mod english;
mod espeak;
mod letter_to_sound;
mod numbers;
mod output;
pub mod symbols;

pub use espeak::EspeakMode;

use english::English;
use espeak::Espeak;
use std::{fmt, ops::Range, path::PathBuf, sync::OnceLock};
use stentor_types::Language;

/// How a [`G2p`] is set up.
#[derive(Debug, Clone, Default)]
pub struct G2pOptions {
    pub espeak: EspeakMode,
    /// Reserved for dictionaries prepared on disk; nothing is written today.
    pub cache_dir: Option<PathBuf>,
}

/// Turns text into phonemes. Cheap to make; a language's dictionaries load on first use or by [`G2p::warm`].
pub struct G2p {
    american: OnceLock<English>,
    british: OnceLock<English>,
    espeak: Espeak,
}

/// Text as phonemes, and which of them came from which word.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Phonemes {
    /// Phonemes, spaces and punctuation; every character is in [`symbols::VOCABULARY`].
    pub text: String,
    /// In ascending order, without overlap; what `text` holds between them is spaces and punctuation.
    pub words: Vec<PhonemeWord>,
    /// Byte ranges of letters in the input that could not be read at all, such as hieroglyphs in English text.
    pub skipped: Vec<Range<usize>>,
}

/// One spoken word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhonemeWord {
    /// Bytes of the input, of the whole link for a word in `[word](/ipa/)`.
    pub source: Range<usize>,
    /// Characters of [`Phonemes::text`]. May hold spaces where a word is read as several ("B2B").
    pub phonemes: Range<usize>,
    pub origin: Origin,
}

/// Where a word's phonemes came from. Of a compound's parts the least certain counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// The dictionary, or one of its entries with -s, -ed or -ing.
    Dictionary,
    /// A number or symbol read as words.
    Number,
    /// `[word](/ipa/)`.
    Markup,
    /// Letter by letter: an acronym, or letters that no mouth can join.
    Spelled,
    /// The letter-to-sound network.
    LetterToSound,
    /// The letter-to-sound network, of a word in another script put into Latin letters: a guess that is never silent.
    Transliterated,
    /// The program espeak-ng.
    Espeak,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dictionary => "dictionary",
            Self::Number => "number",
            Self::Markup => "markup",
            Self::Spelled => "spelled",
            Self::LetterToSound => "letter-to-sound",
            Self::Transliterated => "transliterated",
            Self::Espeak => "espeak",
        })
    }
}

/// Why a text has no phonemes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum G2pError {
    /// Nothing here can speak the language; `hint` says what to install.
    #[error("language `{language}` cannot be spoken: {hint}")]
    UnsupportedLanguage { language: Language, hint: String },
    /// The espeak-ng process failed; it is started anew for the next text.
    #[error("espeak-ng: {0}")]
    Espeak(String),
}

impl G2p {
    pub fn new(options: G2pOptions) -> Self {
        Self { american: OnceLock::new(), british: OnceLock::new(), espeak: Espeak::new(options.espeak) }
    }

    /// Loads what `language` needs, so that the first [`G2p::phonemize`] is quick.
    pub fn warm(&self, language: &Language) -> Result<(), G2pError> {
        if language.is_english() {
            self.english(language).phonemize("Warm.");
            return Ok(());
        }
        self.espeak.phonemize("a", language).map(|_| ())
    }

    /// What can be spoken now: English, and espeak-ng's languages where it is installed.
    pub fn languages(&self) -> Vec<Language> {
        let mut languages = vec![Language::en_us(), Language::en_gb()];
        languages.extend(self.espeak.languages());
        languages
    }

    /// Reads `text`. Any English tag but `en-gb` is read as American. Control characters and line breaks count
    /// as spaces. The result is empty when nothing in the text can be spoken.
    pub fn phonemize(&self, text: &str, language: &Language) -> Result<Phonemes, G2pError> {
        if language.is_english() {
            return Ok(self.english(language).phonemize(text));
        }
        self.espeak.phonemize(text, language)
    }

    fn english(&self, language: &Language) -> &English {
        if language.is_british() {
            self.british.get_or_init(|| English::load(true))
        } else {
            self.american.get_or_init(|| English::load(false))
        }
    }
}
