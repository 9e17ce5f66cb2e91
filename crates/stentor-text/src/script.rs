//! What is to be spoken, before it is cut: a plain text or an SSML document, with the lexicons that hold for it.
//!
//! A script is a list of runs, each in one style (voice and rate). A run becomes a text in the marks that all later
//! stages know, one run at a time, and its words are led back to what the client wrote.

use crate::chunk::{Chunks, chunks};
use crate::clean::html;
use crate::cues::{Cues, well_known_at};
use crate::lexicon::{Finder, Lexicon};
use crate::marked::{Marked, Rule};
use crate::markup;
use crate::normalize::say_as::{self, SayAs};
use crate::ssml::{self, Place, SsmlError};
use crate::{TextOptions, View};
use std::ops::Range;
use std::sync::Arc;
use stentor_types::{Chunk, ChunkBudget, Language};

/// Silence between two runs of one sentence, in milliseconds.
const RUN_MS: u32 = 20;
/// Silence between two runs with a paragraph's end between them, in milliseconds.
const PARAGRAPH_MS: u32 = 600;
/// Longest address that is passed over, in bytes.
const TOKEN_LIMIT: usize = 400;

/// How a stretch is spoken.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// As the document names it; `None` is the request's.
    pub voice: Option<String>,
    /// Times the request's speed; above zero.
    pub rate: f32,
    /// The byte of the document at which it asks for the voice; see [`Script::place`].
    pub at: usize,
}

impl Default for Style {
    fn default() -> Self {
        Self { voice: None, rate: 1.0, at: 0 }
    }
}

/// One thing after the other, as the document has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Bytes of the client's text.
    Text(Range<usize>),
    /// A character that is written as an entity.
    Char(char, Range<usize>),
    /// Text, or a link, in place of an element.
    Put {
        text: String,
        /// What the document has there.
        shown: String,
        source: Range<usize>,
        element: &'static str,
    },
    SayAs {
        how: SayAs,
        text: String,
        source: Range<usize>,
    },
    /// Milliseconds.
    Pause(u32),
    Sentence,
    Paragraph,
}

/// A stretch in one style.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Run {
    /// Index of its style.
    pub(crate) style: usize,
    pub(crate) parts: Vec<Part>,
}

/// See the module's lines.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) input: Arc<str>,
    pub(crate) is_ssml: bool,
    pub(crate) styles: Vec<Style>,
    pub(crate) runs: Vec<Run>,
    pub(crate) language: Option<Language>,
    pub(crate) ignored: Vec<String>,
}

impl Script {
    /// Reads a text that is SSML if it starts with `<speak`, and is spoken as it stands if not.
    pub fn parse(input: &Arc<str>) -> Result<Self, SsmlError> {
        if ssml::is_ssml(input) { ssml::parse(input) } else { Ok(Self::plain(input)) }
    }

    fn plain(input: &Arc<str>) -> Self {
        Self {
            input: Arc::clone(input),
            is_ssml: false,
            styles: vec![Style::default()],
            runs: vec![Run { style: 0, parts: vec![Part::Text(0..input.len())] }],
            language: None,
            ignored: Vec::new(),
        }
    }

    /// All styles that occur; never empty. The first is the request's own.
    pub fn styles(&self) -> &[Style] {
        &self.styles
    }

    /// Where a style's voice is asked for.
    pub fn place(&self, style: &Style) -> Place {
        Place::of(&self.input, style.at)
    }

    /// The language that the document says it is in.
    pub fn language(&self) -> Option<&Language> {
        self.language.as_ref()
    }

    /// What of the document has no effect: `ssml:mark`, `ssml:prosody@pitch`; each once.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// Cuts the script into chunks; see [`crate::chunks`]. `options` are those of each style, in order; of what is missing
    /// the last holds. Of the lexicons an earlier one wins.
    pub fn chunks(
        self,
        options: Vec<TextOptions>,
        lexicons: Vec<Arc<Lexicon>>,
        budget: ChunkBudget,
    ) -> ScriptChunks {
        ScriptChunks {
            script: self,
            options,
            lexicons,
            budget,
            run: 0,
            now: None,
            ahead: None,
            next_index: 0,
        }
    }

    /// Which stretches of the client's text are read by a lexicon or an element, and why.
    pub fn rewritten(&self, options: &[TextOptions], lexicons: &[Arc<Lexicon>]) -> Vec<(Range<usize>, Rule)> {
        let marked = (0..self.runs.len())
            .filter_map(|run| self.mark(run, options_of(options, &self.runs[run])?, lexicons));
        marked.flat_map(|marked| marked.rewritten().collect::<Vec<_>>()).collect()
    }

    /// The text as a reader sees it. Without `normalize` a text that is no document is shown as it is.
    pub fn view(&self, normalize: bool) -> View {
        if !self.is_ssml {
            return if normalize { View::marked_up(&self.input) } else { View::verbatim(&self.input) };
        }
        let mut view = View::default();
        let mut voice = None;
        for run in &self.runs {
            // One voice does not end a word of another one's.
            let own = self.styles.get(run.style).and_then(|style| style.voice.as_ref());
            if std::mem::replace(&mut voice, own) != own {
                view.part(" ");
            }
            run.parts.iter().for_each(|part| self.show(part, &mut view));
        }
        view
    }

    fn show(&self, part: &Part, view: &mut View) {
        match part {
            Part::Text(range) => view.copy(&self.flat(range), range.start),
            Part::Char(c, source) => view.put(c.encode_utf8(&mut [0; 4]), source.clone()),
            Part::Put { shown, source, .. } | Part::SayAs { text: shown, source, .. } => {
                if self.input.get(source.clone()) == Some(shown) {
                    view.copy(shown, source.start);
                } else {
                    view.put(shown, source.clone());
                }
            }
            Part::Pause(_) | Part::Sentence => view.part(" "),
            Part::Paragraph => view.part("\n\n"),
        }
    }

    /// Text of a document: line breaks mean no more than spaces in XML.
    fn flat(&self, range: &Range<usize>) -> String {
        self.input[range.clone()].replace(['\n', '\r', '\t'], " ")
    }

    /// The text of a run; `None` if it is the client's own.
    fn mark(&self, run: usize, options: &TextOptions, lexicons: &[Arc<Lexicon>]) -> Option<Marked> {
        let lexicons: Vec<&Lexicon> = lexicons.iter().map(AsRef::as_ref).collect();
        let finder = Finder::new(&lexicons, &options.language);
        if !self.is_ssml && finder.is_empty() {
            return None;
        }
        let raw = self.raw(&self.runs[run], &options.language);
        Some(
            Marker { raw: &raw, finder, options, is_ssml: self.is_ssml, cues: Cues::new(&options.tags) }
                .run(),
        )
    }

    /// A run before lexicons have seen it.
    fn raw(&self, run: &Run, language: &Language) -> Marked {
        let mut out = Marked::default();
        for part in &run.parts {
            let at = out.text.len();
            match part {
                Part::Text(range) if self.is_ssml => out.copy(&self.flat(range), range.start),
                Part::Text(range) => out.copy(&self.input[range.clone()], range.start),
                Part::Char(c, source) => out.put(c.encode_utf8(&mut [0; 4]), source.clone(), Rule::Copied),
                Part::Put { text, source, element, .. } => out.put(text, source.clone(), Rule::Ssml(element)),
                Part::SayAs { how, text, source } => {
                    out.put(&say_as::read(*how, text, language), source.clone(), Rule::Ssml("say-as"));
                }
                Part::Pause(ms) => out.put(&format!("[pause:{ms}ms]"), at..at, Rule::Ssml("break")),
                Part::Sentence => {
                    if out
                        .text
                        .trim_end()
                        .ends_with(|c: char| c.is_alphanumeric() || matches!(c, ')' | '"' | '”'))
                    {
                        out.put(".", at..at, Rule::Ssml("s"));
                    }
                    out.put(" ", at..at, Rule::Ssml("s"));
                }
                Part::Paragraph if out.text.trim().is_empty() => {}
                Part::Paragraph => out.put("\n\n", at..at, Rule::Ssml("p")),
            }
        }
        out
    }
}

fn options_of<'a>(options: &'a [TextOptions], run: &Run) -> Option<&'a TextOptions> {
    options.get(run.style).or(options.last())
}

/// The pass of the lexicons over a run.
struct Marker<'a> {
    raw: &'a Marked,
    finder: Finder<'a>,
    options: &'a TextOptions,
    is_ssml: bool,
    cues: Cues,
}

impl Marker<'_> {
    fn run(self) -> Marked {
        let text = self.raw.text.as_str();
        let mut out = Marked::default();
        // Up to here no entry is looked for.
        let mut closed = 0;
        let mut pos = 0;
        while let Some(c) = text[pos..].chars().next() {
            let fixed = self.raw.fixed(pos);
            if let Some((range, source, rule)) = fixed.as_ref().filter(|fixed| fixed.2 != Rule::Copied) {
                out.put(&self.shown(&text[pos..range.end]), source.clone(), *rule);
                pos = range.end;
                continue;
            }
            closed = closed.max(self.passed_over(text, pos).unwrap_or(0));
            let found = if pos < closed { None } else { self.finder.at(text, pos) };
            if let Some(found) = found.filter(|found| self.raw.is_free(&(pos..found.end)))
                && let Some((source, _)) = self.raw.source(&(pos..found.end))
            {
                let rule = Rule::Lexicon { lexicon: found.lexicon, entry: found.entry };
                out.put(&self.shown(&found.reading), source, rule);
                pos = found.end;
                continue;
            }
            let end = if fixed.is_none() && c.is_ascii_alphanumeric() {
                // No entry starts inside of a word.
                let rest = &text.as_bytes()[pos..self.raw.stretch_end(pos)];
                pos + rest.iter().position(|b| !b.is_ascii_alphanumeric()).unwrap_or(rest.len())
            } else {
                pos + c.len_utf8()
            };
            let (source, rule) = self.raw.source(&(pos..end)).unwrap_or((pos..pos, Rule::Copied));
            // Text of a document is never HTML, however it is written.
            if fixed.is_some() || self.is_ssml && matches!(c, '<' | '&') {
                out.put(&self.shown(&text[pos..end]), source, rule);
            } else {
                out.copy(&text[pos..end], source.start);
            }
            pos = end;
        }
        out
    }

    /// Text that must not be taken for HTML; marks of our own stay as they are.
    fn shown(&self, text: &str) -> String {
        if !self.options.normalize || markup::link_at(text, 0).is_some() {
            return text.to_owned();
        }
        text.replace('&', "&amp;").replace('<', "&lt;")
    }

    /// Where what starts at `pos` ends, if no lexicon has a say in it: a mark of our own, a tag, an address.
    fn passed_over(&self, text: &str, pos: usize) -> Option<usize> {
        match text.as_bytes()[pos] {
            b'[' => markup::link_at(text, pos)
                .map(|link| link.end)
                .or_else(|| markup::pause_at(text, pos).map(|pause| pause.1))
                .or_else(|| self.cues.at(text, pos).map(|cue| cue.1))
                .or_else(|| well_known_at(text, pos)),
            b'<' if self.options.normalize && !self.is_ssml => html::end_of_tag(text, pos),
            _ => address_end(text, pos),
        }
    }
}

/// The end of the address of a page or a mailbox that starts at `pos`.
fn address_end(text: &str, pos: usize) -> Option<usize> {
    let opens = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '<' | '"' | '\'' | '“');
    if !text.as_bytes()[pos].is_ascii_alphanumeric()
        || text[..pos].chars().next_back().is_some_and(|c| !opens(c))
    {
        return None;
    }
    // Whatever may open an address closes another one, so that no text is looked at again and again.
    let closes = |b: &u8| b.is_ascii_whitespace() || !b.is_ascii() || b"()[]<>\"'".contains(b);
    let token = &text.as_bytes()[pos..text.len().min(pos + TOKEN_LIMIT)];
    let token = &token[..token.iter().position(closes).unwrap_or(token.len())];
    let has = |wanted: &[u8]| token.windows(wanted.len()).any(|window| window == wanted);
    let mail = token.iter().position(|b| *b == b'@').is_some_and(|at| token[at..].contains(&b'.'));
    if !(has(b"://") || token.starts_with(b"www.") || mail) {
        return None;
    }
    Some(pos + token.len())
}

/// The chunks of a script, in order. Lazy, one run at a time.
pub struct ScriptChunks {
    script: Script,
    options: Vec<TextOptions>,
    lexicons: Vec<Arc<Lexicon>>,
    budget: ChunkBudget,
    /// The next one.
    run: usize,
    now: Option<RunChunks>,
    ahead: Option<(Chunk, usize)>,
    next_index: u32,
}

struct RunChunks {
    chunks: Chunks,
    marked: Option<Marked>,
    style: usize,
}

impl Iterator for ScriptChunks {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let (mut chunk, run) = match self.ahead.take() {
            Some(ahead) => ahead,
            None => self.pull()?,
        };
        // Behind the last run nothing is to be known beforehand.
        self.ahead = if self.run < self.script.runs.len() { self.pull() } else { None };
        if self.ahead.as_ref().is_some_and(|ahead| ahead.1 != run) {
            chunk.pause_ms = chunk.pause_ms.max(self.gap(run));
        }
        chunk.index = self.next_index;
        self.next_index += 1;
        Some(chunk)
    }
}

impl ScriptChunks {
    /// The next chunk and its run.
    fn pull(&mut self) -> Option<(Chunk, usize)> {
        loop {
            if self.now.is_none() {
                self.begin()?;
            }
            let now = self.now.as_mut()?;
            let Some(mut chunk) = now.chunks.next() else {
                self.now = None;
                continue;
            };
            chunk.style = now.style;
            if let Some(marked) = &now.marked {
                marked.restore(&mut chunk.spoken);
                // Words of one replacement are one word here.
                let next = now.chunks.upcoming().and_then(|next| marked.source(next));
                let last = chunk.spoken.spans.last();
                chunk.goes_on = next.zip(last).is_some_and(|((next, _), last)| next.start < last.source.end);
            }
            // The first chunk of all is a short one, whichever run it comes from.
            self.budget.first = self.budget.max;
            return Some((chunk, self.run - 1));
        }
    }

    fn begin(&mut self) -> Option<()> {
        let run = self.script.runs.get(self.run)?;
        let options = options_of(&self.options, run)?;
        let marked = self.script.mark(self.run, options, &self.lexicons);
        let text = match &marked {
            Some(marked) => Arc::from(marked.text.as_str()),
            None => Arc::clone(&self.script.input),
        };
        self.now = Some(RunChunks { chunks: chunks(text, options, self.budget), marked, style: run.style });
        self.run += 1;
        Some(())
    }

    /// The least silence behind a run that another one follows.
    fn gap(&self, run: usize) -> u32 {
        let ends = |part: &&Part| !matches!(part, Part::Sentence) && !is_blank(&self.script.input, part);
        match self.script.runs.get(run).and_then(|run| run.parts.iter().rev().find(ends)) {
            Some(Part::Paragraph) => PARAGRAPH_MS,
            _ => RUN_MS,
        }
    }
}

/// Nothing but space.
pub(crate) fn is_blank(input: &str, part: &Part) -> bool {
    match part {
        Part::Text(range) => input[range.clone()].trim().is_empty(),
        Part::Char(c, _) => c.is_whitespace(),
        _ => false,
    }
}
