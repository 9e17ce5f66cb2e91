//! Cues such as `[laugh]`: whole and untouched for engines that know them, never read out by those that don't.

use std::sync::Arc;
use stentor_text::{TextOptions, View, chunks, normalize, source_timings, split};
use stentor_types::{ChunkBudget, SampleRate, WordTiming};

fn options(tags: &[&str], language: &str, normalize: bool) -> TextOptions {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    TextOptions { language: language.parse().expect("a language"), normalize, tags }
}

fn knowing() -> TextOptions {
    options(&["[laugh]", "[clear throat]", "[sigh]"], "en-us", true)
}

#[test]
fn known_cues_are_left_as_they_are() {
    for (text, spoken) in [
        ("That's $5 [laugh] isn't it?", "That's five dollars [laugh] isn't it?"),
        ("[clear throat] Dr. Smith said so [sigh].", "[clear throat] Doctor Smith said so [sigh]."),
        ("Well[laugh][sigh] **[Laugh]** yes", "Well[laugh][sigh] [laugh] yes"),
        ("Fine. [LAUGH]", "Fine. [laugh]"),
        ("- [laugh] one\n- two", "[laugh] one\ntwo"),
        ("> \\[laugh\\] quoted", "[laugh] quoted"),
        ("[laugh]", "[laugh]"),
        ("see [laugh](https://example.com) here", "see laugh here"),
    ] {
        assert_eq!(normalize(text, &knowing()).text, spoken, "{text}");
    }
    for (language, normal) in [("en-us", false), ("de", true), ("de", false)] {
        let options = options(&["[clear throat]"], language, normal);
        assert_eq!(normalize("So [clear throat] ja.", &options).text, "So [clear throat] ja.");
    }
}

#[test]
fn a_cue_keeps_its_place_in_the_source() {
    let text = "Wow **[Clear Throat]** and [laugh]!";
    let spoken = normalize(text, &knowing());
    let pairs: Vec<(&str, &str)> = spoken
        .spans
        .iter()
        .map(|span| (&spoken.text[span.spoken.clone()], &text[span.source.clone()]))
        .collect();
    let expected =
        [("Wow", "Wow"), ("[clear throat]", "[Clear Throat]"), ("and", "and"), ("[laugh]", "[laugh]")];
    assert_eq!(pairs, expected);
    let words: Vec<WordTiming> = spoken
        .spans
        .iter()
        .zip(0..)
        .map(|(span, n)| WordTiming { text: span.spoken.clone(), samples: n * 100..n * 100 + 100 })
        .collect();
    let timings = source_timings(&View::verbatim(text), &spoken, &words, SampleRate(1000), 0.0);
    let words: Vec<&str> = timings.iter().map(|timing| timing.word.as_str()).collect();
    assert_eq!(words, ["Wow", "[Clear Throat]", "and", "[laugh]"]);
}

#[test]
fn engines_that_do_not_know_them_are_not_told() {
    for language in ["en-us", "de"] {
        let options = options(&[], language, true);
        assert_eq!(normalize("Hello [laugh] there [clear throat], you.", &options).text, "Hello there, you.");
        assert!(normalize("[sigh]", &options).spans.is_empty());
        assert!(
            chunks(Arc::from("[sigh]\n\n[Laugh]"), &options, ChunkBudget { first: 80, max: 80 })
                .next()
                .is_none()
        );
    }
    let english = options(&[], "en-us", true);
    assert_eq!(normalize("He said [sic] it.", &english).text, "He said (sic) it.", "only well-known cues");
    // Who asked for the text as it is, gets that.
    assert_eq!(normalize("Oh [laugh].", &options(&[], "en-us", false)).text, "Oh [laugh].");
}

#[test]
fn no_cut_goes_through_a_cue() {
    let text = "word [clear throat] ".repeat(600);
    for max in [14, 15, 20, 33, 60, 250] {
        let budget = ChunkBudget { first: max, max };
        let mut cues = 0;
        for chunk in chunks(Arc::from(text.as_str()), &knowing(), budget) {
            assert!(chunk.spoken.text.chars().count() <= max, "{max}: {chunk:?}");
            let whole = chunk.spoken.text.matches("[clear throat]").count();
            assert_eq!(chunk.spoken.text.matches(['[', ']']).count(), 2 * whole, "{max}: {chunk:?}");
            cues += whole;
            for part in split(chunk, 14) {
                let whole = part.spoken.text.matches("[clear throat]").count();
                assert_eq!(part.spoken.text.matches(['[', ']']).count(), 2 * whole, "{part:?}");
            }
        }
        assert_eq!(cues, 600, "{max}");
    }
    // Without a space in sight the cut stands before the cue.
    let text = "a".repeat(4090) + "[clear throat]" + &"b".repeat(100);
    let budget = ChunkBudget { first: 200, max: 200 };
    let all: Vec<String> =
        chunks(Arc::from(text.as_str()), &knowing(), budget).map(|c| c.spoken.text).collect();
    assert_eq!(all.iter().filter(|chunk| chunk.contains("[clear throat]")).count(), 1, "{all:?}");
}

#[test]
fn sentences_end_beside_cues_as_elsewhere() {
    let budget = ChunkBudget { first: 30, max: 30 };
    let all: Vec<_> =
        chunks(Arc::from("That was very funny. [laugh] And then we left."), &knowing(), budget).collect();
    let texts: Vec<&str> = all.iter().map(|chunk| chunk.spoken.text.as_str()).collect();
    assert!(
        texts == ["That was very funny.", "[laugh] And then we left."]
            || texts == ["That was very funny. [laugh]", "And then we left."],
        "{texts:?}"
    );
    assert!(all[0].pause_ms >= 300, "{all:?}");
}
