//! Walks over a document's events and says what each element means.

use super::builder::{Builder, Purpose};
use super::{MAX_DEPTH, MAX_ELEMENTS, MAX_VALUE_BYTES, Place, SsmlError, values};
use crate::lexicon::{MAX_IPA_BYTES, MAX_REPLACE_BYTES, has_phoneme};
use crate::normalize::say_as::{DateOrder, SayAs};
use crate::script::{Part, Script};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use stentor_types::Language;

/// Names of what has no effect that are reported.
const MAX_IGNORED: usize = 16;
/// Elements that hold no text for listeners.
const MUTE: [&str; 4] = ["metadata", "meta", "desc", "lexicon"];

/// What the end of an element brings.
enum End {
    Nothing,
    Paragraph,
    Sentence,
    Capture,
    /// The style before the element holds again.
    Style(usize),
}

struct Walk<'a> {
    input: &'a str,
    out: Builder<'a>,
    open: Vec<End>,
    elements: usize,
    language: Option<Language>,
    ignored: Vec<String>,
    /// Before the names of elements; `None` until `speak` has begun.
    prefix: Option<String>,
}

/// Reads a document; the cost is linear, and nothing in it is expanded.
pub(crate) fn parse(input: &Arc<str>) -> Result<Script, SsmlError> {
    let text: &str = input;
    // The reader would skip a byte order mark without counting it.
    let base = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut reader = Reader::from_str(&text[base..]);
    let mut walk = Walk {
        input: text,
        out: Builder::new(text),
        open: Vec::new(),
        elements: 0,
        language: None,
        ignored: Vec::new(),
        prefix: None,
    };
    loop {
        let start = base + reader.buffer_position() as usize;
        let event = reader.read_event().map_err(|error| {
            let at = base + reader.error_position() as usize;
            walk.error(at.max(start), format!("it is not well-formed XML: {error}"))
        })?;
        let range = start..base + reader.buffer_position() as usize;
        if matches!(event, Event::Eof) {
            break;
        }
        walk.event(&event, range)?;
    }
    if !walk.open.is_empty() {
        return Err(walk.error(text.len(), "it ends before `</speak>`"));
    }
    let Walk { out, language, ignored, .. } = walk;
    let Builder { styles, runs, .. } = out;
    Ok(Script { input: Arc::clone(input), is_ssml: true, styles, runs, language, ignored })
}

impl Walk<'_> {
    fn error(&self, at: usize, message: impl Into<String>) -> SsmlError {
        SsmlError { message: message.into(), place: Place::of(self.input, at) }
    }

    fn event(&mut self, event: &Event<'_>, range: Range<usize>) -> Result<(), SsmlError> {
        match event {
            Event::Start(tag) => self.start(tag, range),
            Event::Empty(tag) => {
                self.start(tag, range.clone())?;
                self.end(range)
            }
            Event::End(_) => self.end(range),
            Event::Text(_) => self.text(range),
            Event::CData(_) => {
                let inner = range.start + "<![CDATA[".len()..range.end.saturating_sub("]]>".len());
                if self.input.get(inner.clone()).is_some() { self.text(inner) } else { Ok(()) }
            }
            Event::GeneralRef(_) => self.entity(range),
            Event::DocType(_) => Err(self.error(range.start, "it has a document type, which is not read")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::Eof => Ok(()),
        }
    }

    fn text(&mut self, range: Range<usize>) -> Result<(), SsmlError> {
        let text = &self.input[range.clone()];
        if self.open.is_empty() {
            let stray = text.find(|c: char| !c.is_whitespace());
            return stray
                .map_or(Ok(()), |at| Err(self.error(range.start + at, "text stands outside of `speak`")));
        }
        self.out.text(text, range.start);
        Ok(())
    }

    fn entity(&mut self, range: Range<usize>) -> Result<(), SsmlError> {
        let written = &self.input[range.clone()];
        if self.open.is_empty() {
            return Err(self.error(range.start, "text stands outside of `speak`"));
        }
        let Ok(decoded) = quick_xml::escape::unescape(written) else {
            let shown: String = written.chars().take(40).collect();
            let message = format!(
                "`{shown}` is none of `&amp;` `&lt;` `&gt;` `&quot;` `&apos;` and no character's number"
            );
            return Err(self.error(range.start, message));
        };
        for c in decoded.chars().filter(|c| *c != '\0') {
            self.out.character(c, range.clone());
        }
        Ok(())
    }

    fn start(&mut self, tag: &BytesStart<'_>, range: Range<usize>) -> Result<(), SsmlError> {
        let at = range.start;
        self.elements += 1;
        if self.elements > MAX_ELEMENTS {
            return Err(self.error(at, format!("it has more than {MAX_ELEMENTS} elements")));
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error(at, format!("elements stand more than {MAX_DEPTH} deep in each other")));
        }
        let full = tag.name().0.to_owned();
        let attributes = self.attributes(tag, at)?;
        if self.open.is_empty() {
            if !super::is_root(&full) || self.prefix.is_some() {
                return Err(self.error(at, "it must have one `speak` element, with everything in it"));
            }
            self.prefix = full.strip_suffix("speak").map(str::to_owned);
            self.speak(&attributes, at)?;
            self.open.push(End::Nothing);
            return Ok(());
        }
        let end = if self.out.captures() {
            End::Nothing
        } else {
            let name = self.prefix.as_deref().and_then(|prefix| full.strip_prefix(prefix));
            self.element(name.unwrap_or(&full), attributes, range)?
        };
        self.open.push(end);
        Ok(())
    }

    fn end(&mut self, range: Range<usize>) -> Result<(), SsmlError> {
        match self.open.pop() {
            None | Some(End::Nothing) => {}
            Some(End::Paragraph) => self.out.mark(Part::Paragraph),
            Some(End::Sentence) => self.out.mark(Part::Sentence),
            Some(End::Capture) => self.out.end().map_err(|message| self.error(range.start, message))?,
            Some(End::Style(before)) => self.out.return_to(before),
        }
        Ok(())
    }

    fn attributes(&self, tag: &BytesStart<'_>, at: usize) -> Result<BTreeMap<String, String>, SsmlError> {
        let mut found = BTreeMap::new();
        for attribute in tag.attributes() {
            let attribute = attribute.map_err(|e| self.error(at, format!("a bad attribute: {e}")))?;
            let name = attribute.key.0.to_owned();
            let value = quick_xml::escape::unescape(&attribute.value)
                .map_err(|_| self.error(at, format!("a bad reference in the attribute `{name}`")))?;
            if value.len() > MAX_VALUE_BYTES {
                return Err(
                    self.error(at, format!("the attribute `{name}` has more than {MAX_VALUE_BYTES} bytes"))
                );
            }
            let plain = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
            found.insert(name, plain.trim().to_owned());
        }
        Ok(found)
    }

    fn ignore(&mut self, name: &str) {
        let name: String = format!("ssml:{name}").chars().take(64).collect();
        if self.ignored.len() < MAX_IGNORED && !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    /// Reports attributes that are there and mean nothing to us. Those of XML itself say nothing about the speech.
    fn ignore_others(&mut self, element: &str, attributes: &BTreeMap<String, String>, known: &[&str]) {
        for name in attributes.keys() {
            let silent = name.starts_with("xmlns") || name == "xml:id" || name == "xsi:schemaLocation";
            if !silent && !known.contains(&name.as_str()) {
                self.ignore(&format!("{element}@{name}"));
            }
        }
    }

    fn speak(&mut self, attributes: &BTreeMap<String, String>, at: usize) -> Result<(), SsmlError> {
        self.ignore_others("speak", attributes, &["version", "xml:lang"]);
        if let Some(tag) = attributes.get("xml:lang").filter(|tag| !tag.is_empty()) {
            let language = tag.parse().map_err(|e| self.error(at, format!("`xml:lang`: {e}")))?;
            self.language = Some(language);
        }
        Ok(())
    }

    fn element(
        &mut self,
        name: &str,
        mut attributes: BTreeMap<String, String>,
        range: Range<usize>,
    ) -> Result<End, SsmlError> {
        let known: &[&str] = match name {
            "break" => &["time", "strength"],
            "sub" => &["alias"],
            "phoneme" => &["alphabet", "ph"],
            "say-as" => &["interpret-as", "format", "detail"],
            "prosody" => &["rate"],
            "voice" => &["name"],
            "emphasis" => &["level"],
            "p" | "paragraph" | "s" | "sentence" => &[],
            _ => {
                self.ignore(name);
                if MUTE.contains(&name) {
                    self.out.begin(Purpose::Mute, range);
                    return Ok(End::Capture);
                }
                return Ok(End::Nothing);
            }
        };
        self.ignore_others(name, &attributes, known);
        let mut take = |name: &str| attributes.remove(name).filter(|value| !value.is_empty());
        match name {
            "p" | "paragraph" => {
                self.out.mark(Part::Paragraph);
                Ok(End::Paragraph)
            }
            "s" | "sentence" => {
                self.out.mark(Part::Sentence);
                Ok(End::Sentence)
            }
            "break" => self.pause(take("time"), take("strength"), range.start),
            "sub" => self.sub(take("alias"), range),
            "phoneme" => self.phoneme(take("alphabet"), take("ph"), range),
            "say-as" => self.say_as(take("interpret-as"), take("format").as_deref(), range),
            "prosody" => self.prosody(take("rate"), range.start),
            "voice" => self.voice(take("name"), range.start),
            _ => self.emphasis(take("level").as_deref(), range.start),
        }
    }

    fn pause(&mut self, time: Option<String>, strength: Option<String>, at: usize) -> Result<End, SsmlError> {
        let ms = match (time, strength) {
            (Some(time), _) => values::time_ms(&time).ok_or_else(|| {
                self.error(at, format!("`time` is `{time}`, which is no time such as `500ms` or `1.5s`"))
            })?,
            (None, Some(strength)) => values::strength_ms(&strength).ok_or_else(|| {
                let message = format!(
                    "`strength` is `{strength}`, not one of none, x-weak, weak, medium, strong, x-strong"
                );
                self.error(at, message)
            })?,
            (None, None) => values::strength_ms("medium").unwrap_or_default(),
        };
        if ms > 0 {
            self.out.mark(Part::Pause(ms));
        }
        Ok(End::Nothing)
    }

    fn sub(&mut self, alias: Option<String>, range: Range<usize>) -> Result<End, SsmlError> {
        let alias = alias.ok_or_else(|| self.error(range.start, "`sub` needs an `alias`"))?;
        if alias.len() > MAX_REPLACE_BYTES {
            return Err(self.error(range.start, format!("`alias` has more than {MAX_REPLACE_BYTES} bytes")));
        }
        self.out.begin(Purpose::Sub(alias), range);
        Ok(End::Capture)
    }

    fn phoneme(
        &mut self,
        alphabet: Option<String>,
        ph: Option<String>,
        range: Range<usize>,
    ) -> Result<End, SsmlError> {
        if let Some(alphabet) = alphabet.filter(|alphabet| !alphabet.eq_ignore_ascii_case("ipa")) {
            self.ignore(&format!("phoneme@alphabet={alphabet}"));
            return Ok(End::Nothing);
        }
        let ph = ph.ok_or_else(|| self.error(range.start, "`phoneme` needs `ph`"))?;
        let ph = ph.trim_matches('/').trim().to_owned();
        let held = |c: char| matches!(c, '/' | '[' | ']' | '(' | ')');
        if ph.len() > MAX_IPA_BYTES || ph.contains(held) || !has_phoneme(&ph) {
            let message =
                format!("`ph` must be IPA of at most {MAX_IPA_BYTES} bytes, without slashes and brackets");
            return Err(self.error(range.start, message));
        }
        self.out.begin(Purpose::Phoneme(ph), range);
        Ok(End::Capture)
    }

    fn say_as(
        &mut self,
        what: Option<String>,
        format: Option<&str>,
        range: Range<usize>,
    ) -> Result<End, SsmlError> {
        let what = what.ok_or_else(|| self.error(range.start, "`say-as` needs `interpret-as`"))?;
        let how = match what.to_ascii_lowercase().as_str() {
            "characters" | "spell-out" | "verbatim" | "digits" => SayAs::Characters,
            "cardinal" | "number" => SayAs::Cardinal,
            "ordinal" => SayAs::Ordinal,
            "date" => {
                let order = format.map(|format| (format, DateOrder::parse(format)));
                if let Some((format, None)) = order {
                    self.ignore(&format!("say-as@format={format}"));
                }
                SayAs::Date(order.and_then(|(_, order)| order))
            }
            "telephone" => SayAs::Telephone,
            "time" | "currency" | "fraction" | "unit" | "address" | "text" => SayAs::Usual,
            other => {
                self.ignore(&format!("say-as@interpret-as={other}"));
                return Ok(End::Nothing);
            }
        };
        self.out.begin(Purpose::SayAs(how), range);
        Ok(End::Capture)
    }

    fn prosody(&mut self, rate: Option<String>, at: usize) -> Result<End, SsmlError> {
        let Some(rate) = rate else { return Ok(End::Nothing) };
        let factor = values::rate(&rate).ok_or_else(|| {
            let message = format!("`rate` is `{rate}`, not a word such as `slow`, a percentage or a factor");
            self.error(at, message)
        })?;
        self.faster(factor, at)
    }

    fn emphasis(&mut self, level: Option<&str>, at: usize) -> Result<End, SsmlError> {
        let level = level.unwrap_or("moderate");
        let factor = values::emphasis(level).ok_or_else(|| {
            self.error(at, format!("`level` is `{level}`, not one of strong, moderate, none, reduced"))
        })?;
        self.faster(factor, at)
    }

    /// Rates in each other multiply, within bounds that no depth of elements leaves.
    fn faster(&mut self, factor: f32, at: usize) -> Result<End, SsmlError> {
        let mut style = self.out.style();
        style.rate = (style.rate * factor).clamp(0.05, 20.0);
        self.restyle(style, at)
    }

    fn voice(&mut self, name: Option<String>, at: usize) -> Result<End, SsmlError> {
        let Some(name) = name else { return Ok(End::Nothing) };
        let mut style = self.out.style();
        (style.voice, style.at) = (Some(name), at);
        self.restyle(style, at)
    }

    fn restyle(&mut self, style: crate::Style, at: usize) -> Result<End, SsmlError> {
        let before = self.out.style_index();
        if self.out.change(style) {
            return Ok(End::Style(before));
        }
        Err(self.error(at, "it has too many different voices and rates"))
    }
}
