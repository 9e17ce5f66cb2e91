//! English: cut the text into words and marks, tag them, and read them from right to left, because the sound that
//! follows decides how "the", "to" and "a" are spoken.

#[cfg(test)]
mod accuracy;
mod exception;
mod lexicon;
mod scan;
mod supplement;
mod table;
mod tag;
mod word;

use crate::{
    Origin, Phonemes,
    clean::{Clean, Feature},
    output::Output,
    symbols,
};
use lexicon::{Context, Lexicon};
use scan::{Kind, Unit};
use tag::Tags;
use word::Word;

/// One accent's dictionary and what reads with it.
pub(crate) struct English {
    lexicon: Lexicon,
}

/// What a unit sounds like.
struct Reading {
    phonemes: String,
    origin: Origin,
}

impl English {
    pub(crate) fn load(british: bool) -> Self {
        // The tagger is shared by both accents; loading it here keeps the first sentence quick.
        tag::load();
        crate::letter_to_sound::LetterToSound::embedded();
        Self { lexicon: Lexicon::load(british) }
    }

    pub(crate) fn phonemize(&self, input: &str) -> Phonemes {
        let clean = Clean::new(input);
        let units = scan::units(&clean, &self.lexicon);
        let tags = Tags::of(&clean.text);
        let readings = self.read(&clean, &units, &tags);
        let mut output = Output::default();
        let mut last: Option<&Unit> = None;
        for (unit, reading) in units.iter().zip(readings) {
            if last.is_some_and(|last| needs_space(&clean.text, last, unit)) {
                output.space();
            }
            match (&unit.kind, reading) {
                (Kind::Mark(mark), _) => output.mark(*mark),
                (_, Some(Reading { phonemes, origin })) => {
                    let given = origin == Origin::Markup;
                    let phonemes = if given { phonemes } else { symbols::from_dictionary(&phonemes) };
                    output.word(clean.source(&unit.range), &phonemes, origin);
                }
                (_, None) => continue,
            }
            last = Some(unit);
        }
        output.finish(clean.skipped)
    }

    /// Right to left; None for marks.
    fn read(&self, clean: &Clean, units: &[Unit], tags: &Tags) -> Vec<Option<Reading>> {
        let mut context = Context::default();
        let mut readings: Vec<Option<Reading>> = Vec::with_capacity(units.len());
        for (at, unit) in units.iter().enumerate().rev() {
            let text = &clean.text[unit.range.clone()];
            let reading = match &unit.kind {
                Kind::Mark(mark) => {
                    context.mark(*mark);
                    None
                }
                Kind::Spoken(words) => Some(self.spoken(words, &mut context)),
                Kind::Word if text.starts_with('\'') && at > 0 && given(clean, &units[at - 1]).is_some() => {
                    given(clean, &units[at - 1]).map(|stem| self.after_link(stem, text, &mut context))
                }
                Kind::Word => Some(self.unit(clean, unit, tags, &mut context)),
            };
            readings.push(reading);
        }
        readings.reverse();
        readings
    }

    fn unit(&self, clean: &Clean, unit: &Unit, tags: &Tags, context: &mut Context) -> Reading {
        let (text, at) = (&clean.text[unit.range.clone()], unit.range.start);
        match clean.mark_at(at).map(|mark| &mark.feature) {
            Some(Feature::Phonemes(phonemes)) => {
                context.word(text, phonemes, "NN");
                Reading { phonemes: phonemes.clone(), origin: Origin::Markup }
            }
            Some(Feature::Stress(stress)) => {
                self.word(&Word { text, at, stress: Some(*stress) }, tags, context)
            }
            Some(Feature::Foreign(_)) => self.foreign(text, context),
            None => self
                .exception(clean, &unit.range, tags, context)
                .unwrap_or_else(|| self.word(&Word { text, at, stress: None }, tags, context)),
        }
    }

    /// The "'s" behind a link sounds as the link's phonemes ask.
    fn after_link(&self, stem: &str, text: &str, context: &mut Context) -> Reading {
        let whole = match text {
            "'s" => self.lexicon.with_s(stem),
            "'d" => self.lexicon.with_ed(stem),
            _ => format!("{stem}{}", self.lexicon.get(text, "NN", None, context).unwrap_or_default()),
        };
        let phonemes = whole.strip_prefix(stem).unwrap_or_default().to_owned();
        context.word(text, stem, "NN");
        Reading { phonemes, origin: Origin::Dictionary }
    }

    /// Dictionary words that a symbol or number stands for.
    fn spoken(&self, words: &[String], context: &mut Context) -> Reading {
        let mut phonemes: Vec<String> = Vec::with_capacity(words.len());
        for word in words.iter().rev() {
            let read = self.lexicon.get(word, "CD", None, context).unwrap_or_default();
            context.word(word, &read, "CD");
            phonemes.push(read);
        }
        phonemes.reverse();
        Reading { phonemes: phonemes.join(" "), origin: Origin::Number }
    }
}

/// Phonemes of a unit that is a link.
fn given<'a>(clean: &'a Clean, unit: &Unit) -> Option<&'a str> {
    match &clean.mark_at(unit.range.start)?.feature {
        Feature::Phonemes(phonemes) => Some(phonemes),
        Feature::Stress(_) | Feature::Foreign(_) => None,
    }
}

/// Words that stand apart in the text stand apart in the phonemes; so do "50" and "percent" of "50%".
fn needs_space(text: &str, last: &Unit, next: &Unit) -> bool {
    let gap = &text[last.range.end..next.range.start];
    let words = |unit: &Unit| !matches!(unit.kind, Kind::Mark(_));
    let spelled_out = |unit: &Unit| matches!(unit.kind, Kind::Spoken(_));
    if words(last) && words(next) {
        return !gap.is_empty() || spelled_out(last) || spelled_out(next);
    }
    gap.contains(' ') && !matches!(last.kind, Kind::Mark('“' | '('))
}
