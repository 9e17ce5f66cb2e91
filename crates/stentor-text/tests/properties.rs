//! What must hold for any text at all.

use proptest::prelude::*;
use std::sync::Arc;
use stentor_text::{TextOptions, chunks, normalize, split};
use stentor_types::{ChunkBudget, SpokenText};

fn options(language: &str, normalize: bool) -> TextOptions {
    TextOptions {
        language: language.parse().expect("a language tag"),
        normalize,
        tags: vec!["[laugh]".to_owned(), "[clear throat]".to_owned()],
    }
}

/// Spans ascend in both texts, hold something, and end between characters.
fn check_spans(original: &str, spoken: &SpokenText) {
    let (mut spoken_end, mut source_end) = (0, 0);
    for span in &spoken.spans {
        assert!(span.spoken.start >= spoken_end && span.source.start >= source_end, "{spoken:?}");
        assert!(!span.spoken.is_empty() && !span.source.is_empty(), "{spoken:?}");
        assert!(spoken.text.get(span.spoken.clone()).is_some(), "{spoken:?}");
        assert!(original.get(span.source.clone()).is_some(), "{original:?} {spoken:?}");
        (spoken_end, source_end) = (span.spoken.end, span.source.end);
    }
}

/// Letters and digits only: cuts may fall inside words.
fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

fn check(text: &str, options: &TextOptions, budget: ChunkBudget) {
    let whole = normalize(text, options);
    check_spans(text, &whole);
    let mut joined = String::new();
    for chunk in chunks(Arc::from(text), options, budget) {
        check_spans(text, &chunk.spoken);
        assert!(!chunk.spoken.spans.is_empty() && !letters(&chunk.spoken.text).is_empty(), "{chunk:?}");
        let length = chunk.spoken.text.chars().count();
        let limit = budget.max.max(1);
        assert!(length <= limit || chunk.spoken.text.contains("](/") || limit < 8, "{length}: {chunk:?}");
        joined.push_str(&letters(&chunk.spoken.text));
        for part in split(chunk, budget.first.max(1)) {
            check_spans(text, &part.spoken);
        }
    }
    assert_eq!(joined, letters(&whole.text), "{text:?}");
}

/// Pieces that rules look for, parted by bars.
const PIECES: &str = "$|5|1,000|.|-|–|/|12/25/2023|2023-12-25|3:30|pm|p.m.|%|°C|km|St.|Dr. |J. K. |U.S.A.|VIII|Henry |Chapter \
    |https://a.b/c|me@x.org|#|@|[a](/b/)|[a](b)|[pause:1s]|[laugh]|[Clear Throat]|[sigh]|[a b]|[|]|(|)|*|**|_|`|<b>|<|&amp;|&|'|’|“|½|\n|\n\n| | |\u{301}\
    |\u{200b}|😀|❤|é|漢字|。|ﬁ|５|①|\0|word|The |1st|1990s|v1.2|555-1234|+1 (555) |...|—|# |- |1. |=|+|\\|~|million\
    |\u{e000}|\u{e001}|\u{2028}|5'11\"|x|Q3|221B|AT&T|e.g.|etc.|²|⁴|₂|١|ß|İ|ft. |in.|Jan.|>=|->|--|:)|1h30m|bn|£\
    |⁻|³|×|1-800-CALL|e-3|AD|Mon|B-|.NET|10'|10 000|1,00|John |IT|pp.";

fn fragments() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(PIECES.split('|').collect::<Vec<_>>());
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_survives(text in "\\PC{0,120}|[\\s\\S]{0,60}", first in 0usize..60, max in 0usize..90) {
        check(&text, &options("en-us", true), ChunkBudget { first, max });
        check(&text, &options("ja", true), ChunkBudget { first, max });
        check(&text, &options("en-gb", false), ChunkBudget { first, max });
    }

    #[test]
    fn any_mixture_of_what_rules_look_for_survives(text in fragments(), first in 0usize..60, max in 0usize..90) {
        check(&text, &options("en-us", true), ChunkBudget { first, max });
        check(&text, &options("en-gb", true), ChunkBudget { first, max });
        check(&text, &options("fr", true), ChunkBudget { first, max });
        check(&text, &options("en-us", false), ChunkBudget { first, max });
    }
}

#[test]
fn every_character_survives_alone_and_between_words() {
    let us = options("en-us", true);
    for c in (0..=0x0011_0000_u32)
        .filter_map(char::from_u32)
        .step_by(7)
        .chain((0..0x3000).filter_map(char::from_u32))
    {
        let text = format!("a{c}b {c} 5{c}6");
        check_spans(&text, &normalize(&text, &us));
    }
}
