//! Readings that hang on the very next word, where a part-of-speech tag does not help.

use super::{English, Reading, lexicon::Context, tag::Tags};
use crate::{Origin, clean::Clean};
use std::ops::Range;

/// Nouns before which "lead" is the metal.
const OF_LEAD: [&str; 12] = [
    "acid",
    "bullet",
    "bullets",
    "paint",
    "paints",
    "pipe",
    "pipes",
    "piping",
    "poisoning",
    "solder",
    "weight",
    "weights",
];

impl English {
    /// "A" as the letter in "A M" and "lead" as the metal in "lead pipe".
    pub(super) fn exception(
        &self,
        clean: &Clean,
        range: &Range<usize>,
        tags: &Tags,
        context: &mut Context,
    ) -> Option<Reading> {
        let text = &clean.text[range.clone()];
        let next = clean.text[range.end..].strip_prefix(' ')?;
        let (phonemes, tag) = if text == "A" && is_lone_capital(next) {
            (self.lexicon.get(text, "NN", None, context)?, "NN")
        } else if text.eq_ignore_ascii_case("lead")
            && is_of_lead(next)
            && !tags.at(range.start).starts_with('V')
        {
            ("lˈɛd".to_owned(), "NN")
        } else {
            return None;
        };
        context.word(text, &phonemes, tag);
        Some(Reading { phonemes, origin: Origin::Dictionary })
    }
}

/// Not "T-shirt", before which "A" is the article.
fn is_lone_capital(next: &str) -> bool {
    let mut bytes = next.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_uppercase())
        && !bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'\''))
}

fn is_of_lead(next: &str) -> bool {
    let end = next.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(next.len());
    OF_LEAD.contains(&&*next[..end].to_ascii_lowercase())
}
