//! Languages other than English, through the program `espeak-ng`.
//!
//! espeak-ng is under the GPL, so it is never linked: it runs as a process of its own and sees nothing but
//! lines of text ([`process`]). One process per language is kept alive; one text at a time goes through it.
//! Punctuation stays here ([`segment`]), because espeak-ng drops it. Its IPA is folded to misaki's symbols.

mod process;
mod segment;

use crate::{G2pError, Origin, Phonemes, output::Output, symbols};
use process::{Failure, Process};
use segment::Piece;
use std::{
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};
use stentor_types::Language;

/// Which espeak-ng to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum EspeakMode {
    /// The `espeak-ng` of the search path, if there is one.
    #[default]
    Auto,
    /// None, even where it is installed.
    Off,
    /// This program.
    Program(PathBuf),
}

/// Primary tag, tag that is listed, espeak-ng's voice.
const VOICES: [(&str, &str, &str); 5] = [
    ("es", "es", "es"),
    ("fr", "fr-fr", "fr-fr"),
    ("hi", "hi", "hi"),
    ("it", "it", "it"),
    ("pt", "pt-br", "pt-br"),
];

/// A clause takes a millisecond; the first one also loads the voice.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const HINT: &str = "install the program espeak-ng (for example `apt install espeak-ng`), which reads it";

pub(crate) struct Espeak {
    program: Option<PathBuf>,
    installed: OnceLock<bool>,
    /// One per voice. The lock is held for one clause: at most one request is in a process.
    processes: [Mutex<Option<Process>>; VOICES.len()],
    limit: Duration,
}

impl Espeak {
    pub(crate) fn new(mode: EspeakMode) -> Self {
        Self::with_limit(mode, ANSWER_WITHIN)
    }

    fn with_limit(mode: EspeakMode, limit: Duration) -> Self {
        let program = match mode {
            EspeakMode::Auto => Some(PathBuf::from("espeak-ng")),
            EspeakMode::Off => None,
            EspeakMode::Program(path) => Some(path),
        };
        Self {
            program,
            installed: OnceLock::new(),
            processes: std::array::from_fn(|_| Mutex::new(None)),
            limit,
        }
    }

    /// The languages that the program reads; none where it is missing. Looked up once.
    pub(crate) fn languages(&self) -> Vec<Language> {
        if self.program().is_none() {
            return Vec::new();
        }
        VOICES.iter().filter_map(|(_, tag, _)| tag.parse().ok()).collect()
    }

    fn program(&self) -> Option<&Path> {
        let program = self.program.as_deref()?;
        self.installed.get_or_init(|| process::answers(program, self.limit)).then_some(program)
    }

    pub(crate) fn phonemize(&self, text: &str, language: &Language) -> Result<Phonemes, G2pError> {
        let unsupported =
            |hint: &str| G2pError::UnsupportedLanguage { language: language.clone(), hint: hint.to_owned() };
        let Some(voice) = VOICES.iter().position(|(primary, ..)| *primary == language.primary()) else {
            let known: Vec<&str> = VOICES.iter().map(|(_, tag, _)| *tag).collect();
            return Err(unsupported(&format!(
                "with espeak-ng installed, en-us, en-gb, {} can",
                known.join(", ")
            )));
        };
        let program = self.program().ok_or_else(|| unsupported(HINT))?;
        let mut output = Output::default();
        let mut skipped = Vec::new();
        for piece in segment::pieces(text) {
            match piece {
                Piece::Space => output.space(),
                Piece::Mark(mark) => output.mark(mark),
                Piece::Given { source, phonemes } => output.word(source, &phonemes, Origin::Markup),
                Piece::Words(words) => {
                    let read = self.words(program, voice, text, &words).map_err(|failure| match failure {
                        Failure::Missing => unsupported(HINT),
                        other => G2pError::Espeak(other.to_string()),
                    })?;
                    for (at, (source, phonemes)) in read.into_iter().enumerate() {
                        if at > 0 {
                            output.space();
                        }
                        if phonemes.is_empty() {
                            skipped.push(source);
                        } else {
                            output.word(source, &phonemes, Origin::Espeak);
                        }
                    }
                }
            }
        }
        Ok(output.finish(skipped))
    }

    /// Phonemes of neighbouring words, each with its bytes. Where espeak-ng's words cannot be told apart by the
    /// input's ("21" may be three words, two may be drawn together), the whole stretch is one.
    fn words(
        &self,
        program: &Path,
        voice: usize,
        text: &str,
        words: &[Range<usize>],
    ) -> Result<Vec<(Range<usize>, String)>, Failure> {
        let line: Vec<String> = words.iter().map(|word| segment::sendable(&text[word.clone()])).collect();
        let answer = folded(&self.ask(program, voice, &line.join(" "))?);
        if answer.len() == words.len() {
            return Ok(words.iter().cloned().zip(answer).collect());
        }
        let mut counts = Vec::with_capacity(words.len());
        for word in &line {
            counts.push(folded(&self.ask(program, voice, word)?).len());
        }
        if counts.iter().sum::<usize>() == answer.len() {
            let mut rest = answer.iter();
            let mut take = |count: usize| rest.by_ref().take(count).cloned().collect::<Vec<_>>().join(" ");
            return Ok(words.iter().cloned().zip(counts.iter().map(|count| take(*count))).collect());
        }
        let whole = words.first().map_or(0, |first| first.start)..words.last().map_or(0, |last| last.end);
        Ok(vec![(whole, answer.join(" "))])
    }

    /// A process that died since its last use is replaced once; any failure ends the process.
    fn ask(&self, program: &Path, voice: usize, line: &str) -> Result<String, Failure> {
        let mut slot = self.processes[voice].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = slot.as_mut() {
            match process.ask(line, self.limit) {
                Err(Failure::Died) => *slot = None,
                Err(failure) => {
                    *slot = None;
                    return Err(failure);
                }
                answer => return answer,
            }
        }
        let mut process = Process::start(program, VOICES[voice].2)?;
        let answer = process.ask(line, self.limit)?;
        *slot = Some(process);
        Ok(answer)
    }
}

/// The words of an answer in misaki's symbols.
fn folded(answer: &str) -> Vec<String> {
    answer
        .split_whitespace()
        .map(symbols::from_espeak)
        .filter(|word| word.chars().any(char::is_alphabetic))
        .collect()
}

#[cfg(test)]
mod tests;
