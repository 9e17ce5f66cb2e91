//! What must hold for any text at all.

use proptest::prelude::*;
use std::sync::Arc;
use stentor_text::lexicon::{Case, Lexicon, RawEntry};
use stentor_text::{Script, TextOptions, chunks, normalize, split};
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

/// Pieces of documents, good and bad.
const XML: &str = "<speak>|</speak>|<p>|</p>|<s>|</s>|<break/>|<break time=\"1s\"/>|<break time='x'/>|<sub alias=\"x y\">|</sub>\
    |<phoneme ph=\"wɪn\">|</phoneme>|<say-as interpret-as=\"characters\">|<say-as interpret-as='date' format='mdy'>|</say-as>\
    |<prosody rate=\"fast\">|</prosody>|<voice name=\"v\">|</voice>|<emphasis>|</emphasis>|<mark name=\"a\"/>|<x:y z='1'>|</x:y>\
    |&amp;|&lt;|&#233;|&#0;|&#xD800;|&nbsp;|<![CDATA[a<b]]>|<!-- c -->|<?pi?>|<!DOCTYPE a>|<|>|&|]]>|word|SQL|New York|é|漢|1/2/2024\
    |[a](/b/)|[pause:1s]| |\n|\n\n|.|Hi! |\u{301}|\u{feff}|'s|-|[|](/";

/// Good documents: elements are closed where they should be, and references mean something.
fn document() -> impl Strategy<Value = String> {
    const BAD: [&str; 5] = ["&#xD800;", "&nbsp;", "&", "]]>", "&#0;"];
    let good = |piece: &&str| !BAD.contains(piece) && (!piece.starts_with('<') || piece.contains("CDATA"));
    let leaves = prop::sample::select(XML.split('|').filter(good).collect::<Vec<_>>());
    let leaf = prop::collection::vec(leaves, 0..6).prop_map(|pieces| pieces.concat());
    let open = prop::sample::select(vec![
        "p",
        "s",
        "sub alias='x y'",
        "phoneme ph='wɪn'",
        "say-as interpret-as='characters'",
        "prosody rate='fast'",
        "voice name='v'",
        "emphasis level='strong'",
        "unknown",
        "break",
    ]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        (open.clone(), prop::collection::vec(inner, 0..4)).prop_map(|(tag, inside)| {
            let name = tag.split(' ').next().unwrap_or_default();
            // It must hold a word that isn't long.
            let inside = if name == "phoneme" { "a word".to_owned() } else { inside.concat() };
            format!("<{tag}>{inside}</{name}>")
        })
    })
    .prop_map(|inner| format!("<speak>{inner}</speak>"))
}

/// Parses, marks and cuts; whatever is good must keep its offsets.
fn check_script(text: &str, normalize: bool, max: usize) -> bool {
    let entry = |word: &str, replace: Option<&str>, ipa: Option<&str>| RawEntry {
        word: word.to_owned(),
        case: Case::Any,
        language: None,
        replace: replace.map(str::to_owned),
        ipa: ipa.map(str::to_owned),
    };
    let rows = [
        entry("sql", Some("structured query language"), None),
        entry("new york", None, Some("nuː jɔːɹk")),
        entry("é", Some("E & <b>"), None),
        entry("漢", None, Some("kan")),
        entry("word", Some("words"), Some("wɜːd")),
    ];
    let lexicon = Arc::new(Lexicon::from_raw(rows).expect("good entries"));
    let Ok(script) = Script::parse(&Arc::from(text)) else { return false };
    let count = script.styles().len();
    let budget = ChunkBudget { first: max / 2, max };
    let mut end = 0;
    for chunk in script.chunks(vec![options("en-us", normalize)], vec![lexicon], budget) {
        check_spans(text, &chunk.spoken);
        assert!(chunk.style < count);
        let first = chunk.spoken.spans.first().map_or(end, |span| span.source.start);
        let last = chunk.spoken.spans.last().map_or(end, |span| span.source.end);
        // Both parts of a word that is cut stand for the whole of it.
        assert!(last >= end && first <= last, "{text:?}: {chunk:?}");
        end = last;
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_with_a_lexicon_keeps_its_offsets(text in "\\PC{0,120}|[\\s\\S]{0,60}", max in 1usize..90) {
        prop_assert!(check_script(&text, true, max) || stentor_text::ssml::is_ssml(&text));
        check_script(&text, false, max);
    }

    #[test]
    fn any_mixture_of_tags_is_read_or_refused(
        pieces in prop::collection::vec(prop::sample::select(XML.split('|').collect::<Vec<_>>()), 0..40),
        max in 1usize..90,
    ) {
        check_script(&format!("<speak>{}", pieces.concat()), true, max);
        check_script(&format!("<speak>{}</speak>", pieces.concat()), false, max);
        check_script(&pieces.concat(), true, max);
    }

    #[test]
    fn documents_keep_their_offsets(text in document(), max in 1usize..90) {
        prop_assert!(check_script(&text, true, max) && check_script(&text, false, max), "it is good");
    }

    #[test]
    fn any_entry_is_checked_or_refused(word in "\\PC{0,20}", replace in "\\PC{0,20}", ipa in "\\PC{0,12}", text in "\\PC{0,40}") {
        let raw = RawEntry { word: word.clone(), replace: Some(replace), ipa: Some(ipa), ..RawEntry::default() };
        if let Ok(lexicon) = Lexicon::from_raw([raw]) {
            let text = format!("{text} {word} {text}");
            if let Ok(script) = Script::parse(&Arc::from(text.as_str())) {
                for chunk in script.chunks(vec![options("en-us", true)], vec![Arc::new(lexicon)], ChunkBudget { first: 40, max: 90 }) {
                    check_spans(&text, &chunk.spoken);
                }
            }
        }
    }
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
