//! Spans and timings name the words that the client wrote.

use std::sync::Arc;
use stentor_text::{Script, TextOptions, View, WordJoiner, chunks, normalize, source_timings};
use stentor_types::{ChunkBudget, Language, SampleRate, SpokenText, WordTiming};

fn options() -> TextOptions {
    TextOptions { language: Language::en_us(), normalize: true, tags: Vec::new() }
}

/// One timing of 100 samples per spoken word, as an engine would give them; marks of a link are not letters.
fn engine(spoken: &SpokenText) -> Vec<WordTiming> {
    let mut words = Vec::new();
    let mut start = 0;
    for word in spoken.text.split_inclusive(' ') {
        let at = start;
        start += word.len();
        let n = words.len() as u64;
        words.push(WordTiming { text: at..at + word.trim_end().len(), samples: n * 100..n * 100 + 90 });
    }
    words
}

fn words_of(original: &str) -> Vec<String> {
    let spoken = normalize(original, &options());
    let timings = source_timings(&View::verbatim(original), &spoken, &engine(&spoken), SampleRate(1000), 0.0);
    let mut end = (0, 0.0);
    for timing in &timings {
        assert_eq!(original[timing.source.clone()], timing.word);
        assert!(
            timing.source.start >= end.0 && timing.start >= end.1 && timing.end >= timing.start,
            "{timings:?}"
        );
        end = (timing.source.end, timing.end);
    }
    timings.into_iter().map(|t| t.word).collect()
}

#[test]
fn words_are_those_of_the_original() {
    for (text, words) in [
        ("It wasn’t me.", vec!["It", "wasn’t", "me"]),
        ("Dr. Smith paid $2.5 million!", vec!["Dr", "Smith", "paid", "$2.5", "million"]),
        ("On December 25, 2023, we", vec!["On", "December", "25", "2023", "we"]),
        ("“Call 555-1234,” she said", vec!["Call", "555-1234", "she", "said"]),
        ("a [Kokoro](/kˈOkəɹO/), **bold** word", vec!["a", "Kokoro", "bold", "word"]),
        ("see https://a.com/b?c=d (now)", vec!["see", "https://a.com/b?c=d", "now"]),
        ("5 km or 40–60°C & 10%", vec!["5", "km", "or", "40–60°C", "&", "10%"]),
        ("The 18-year-old’s dog", vec!["The", "18-year-old’s", "dog"]),
        ("# Head\n\n- item 1\n- I ❤️ it", vec!["Head", "item", "1", "I", "❤", "it"]),
        ("e.g. 2½ cups", vec!["e.g", "2", "½", "cups"]),
    ] {
        assert_eq!(words_of(text), words, "{text}");
    }
}

#[test]
fn an_expansion_is_one_entry_that_lasts_as_long_as_its_words() {
    let text = "pay $5.99 now";
    let spoken = normalize(text, &options());
    assert_eq!(spoken.text, "pay five dollars and ninety-nine cents now");
    let timings = source_timings(&View::verbatim(text), &spoken, &engine(&spoken), SampleRate(1000), 10.0);
    let money = &timings[1];
    assert_eq!(money.word, "$5.99");
    assert!((money.start - 10.1).abs() < 1e-9 && (money.end - 10.59).abs() < 1e-9, "{money:?}");
}

#[test]
fn an_engine_that_times_two_words_at_once_has_them_shared_out() {
    let text = "New York is big";
    let spoken = normalize(text, &options());
    let words = [WordTiming { text: 0..8, samples: 0..800 }, WordTiming { text: 9..11, samples: 800..1000 }];
    let timings = source_timings(&View::verbatim(text), &spoken, &words, SampleRate(1000), 0.0);
    let got: Vec<_> = timings.iter().map(|t| (t.word.as_str(), t.start, t.end)).collect();
    assert_eq!(got, [("New", 0.0, 0.3), ("York", 0.4, 0.8), ("is", 0.8, 1.0)]);
}

#[test]
fn chunks_point_into_the_whole_text() {
    let text: Arc<str> = Arc::from("Prof. Plum came.\n\nHe had £3 and no keys. ".repeat(30));
    let mut found = Vec::new();
    for chunk in chunks(Arc::clone(&text), &options(), ChunkBudget { first: 20, max: 40 }) {
        let timings = source_timings(
            &View::verbatim(&text),
            &chunk.spoken,
            &engine(&chunk.spoken),
            SampleRate(1000),
            0.0,
        );
        found.extend(timings.into_iter().map(|t| t.word));
    }
    let want = ["Prof", "Plum", "came", "He", "had", "£3", "and", "no", "keys"].repeat(30);
    assert_eq!(found, want);
}

#[test]
fn timings_that_make_no_sense_do_no_harm() {
    let spoken = normalize("one two", &options());
    let (late, early) = (9, 2);
    let words =
        [WordTiming { text: 5..early, samples: late as u64..2 }, WordTiming { text: 0..999, samples: 0..5 }];
    let timings = source_timings(&View::verbatim("one two"), &spoken, &words, SampleRate(1000), 0.0);
    assert!(timings.len() <= 2);
    assert!(source_timings(&View::verbatim(""), &spoken, &words, SampleRate(1000), 0.0).is_empty());
}

/// The words of a text that is spoken in chunks of at most `max` characters, each with its place.
fn heard(text: &str, max: usize) -> Vec<(String, std::ops::Range<usize>)> {
    let script = Script::parse(&Arc::from(text)).expect("a text");
    let view = script.view(true);
    let mut joiner = WordJoiner::default();
    let (mut found, mut offset) = (Vec::new(), 0.0);
    for chunk in script.chunks(vec![options()], Vec::new(), ChunkBudget { first: max, max }) {
        let engine = engine(&chunk.spoken);
        let mut words = source_timings(&view, &chunk.spoken, &engine, SampleRate(1000), offset);
        offset += 0.1 * engine.len() as f64;
        joiner.chunk(&view, &mut words, chunk.goes_on);
        found.extend(words);
    }
    found.extend(joiner.finish());
    let mut end = (0, 0.0);
    for word in &found {
        assert!(word.source.start >= end.0 && word.start >= end.1 && word.end > word.start, "{found:?}");
        end = (word.source.end, word.end);
    }
    assert!(end.1 > offset - 0.2, "the last word ends at {} of {offset}", end.1);
    found.into_iter().map(|word| (word.word, word.source)).collect()
}

#[test]
fn a_word_that_chunks_cut_is_one_word() {
    let long = "a".repeat(90);
    for text in [
        "Write at +1 (555) 123-4567 or call.",
        "It cost $1,234,567.89 in all.",
        "Call 5551234567 then.",
        "On 12/25/2023 we left.",
        &format!("An {long} here."),
    ] {
        let whole: Vec<_> = heard(text, 1000).into_iter().collect();
        for max in [8, 12, 20, 33] {
            assert_eq!(heard(text, max), whole, "{text}, cut by {max}");
        }
    }
    let document =
        "<speak>See <sub alias=\"the World Wide Web Consortium of all the world\">W3C</sub> now.</speak>";
    let words: Vec<_> = heard(document, 12).into_iter().map(|word| word.0).collect();
    assert_eq!(words, ["See", "W3C", "now"]);
}

#[test]
fn a_chunk_that_an_engine_finds_too_long_is_cut_into_words_that_go_on() {
    let text: Arc<str> = Arc::from("Pay $1,234,567 now.");
    let chunk = chunks(text, &options(), ChunkBudget { first: 200, max: 200 }).next().expect("a chunk");
    let parts = stentor_text::split(chunk, 20);
    let goes_on: Vec<_> = parts.iter().map(|part| part.goes_on).collect();
    let (last, others) = goes_on.split_last().expect("parts");
    assert!(others.len() > 2 && others.iter().any(|goes_on| *goes_on) && !last, "{goes_on:?}");
}

#[test]
fn words_are_shown_without_markup_and_placed_in_the_clients_text() {
    let rows: [(&str, &[(&str, &str)]); 5] = [
        (
            "<speak>Tom &amp; Jerry don&apos;t say &quot;no&quot; at AT&amp;T.</speak>",
            &[
                ("Tom", "Tom"),
                ("&", "&amp;"),
                ("Jerry", "Jerry"),
                ("don't", "don&apos;t"),
                ("say", "say"),
                ("no", "no"),
                ("at", "at"),
                ("AT", "AT"),
                ("&", "&amp;"),
                ("T", "T"),
            ],
        ),
        (
            "<speak>Sec<![CDATA[ond a < b]]> x<!-- c -->y</speak>",
            &[("Second", "Sec<![CDATA[ond"), ("a", "a"), ("<", "<"), ("b", "b"), ("xy", "x<!-- c -->y")],
        ),
        ("<speak>wo<mark name=\"x\"/>rld</speak>", &[("world", "wo<mark name=\"x\"/>rld")]),
        (
            "Some H<sub>2</sub>O &amp; ice",
            &[("Some", "Some"), ("H2O", "H<sub>2</sub>O"), ("&", "&amp;"), ("ice", "ice")],
        ),
        (
            "<speak><sub alias=\"one\"/> <say-as interpret-as=\"characters\">A&amp;B</say-as></speak>",
            &[("one", "<sub alias=\"one\"/>"), ("A&B", "A&amp;B")],
        ),
    ];
    for (text, want) in rows {
        let got = heard(text, 100);
        let got: Vec<_> = got.iter().map(|(word, place)| (word.as_str(), &text[place.clone()])).collect();
        assert_eq!(got, want, "{text}");
    }
}
