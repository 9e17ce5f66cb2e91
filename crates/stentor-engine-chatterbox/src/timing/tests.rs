//! Made-up attention, whose word boundaries are known.

use super::*;
use stentor_testkit::hash_weights::Stream;

const TEXT: &str = "One two, threefold four five.";

/// One token a character, as the letters of a small vocabulary are, between start and stop.
fn letters(text: &str) -> TextTokens {
    let mut tokens = TextTokens { ids: vec![255], source: vec![Range::default()] };
    for (at, c) in text.char_indices() {
        tokens.ids.push(2);
        tokens.source.push(at..at + c.len_utf8());
    }
    tokens.ids.push(0);
    tokens.source.push(text.len()..text.len());
    tokens
}

/// Attention that stands at each token for so many frames, with noise of `noise` beside it.
fn rows(durations: &[usize], noise: f32) -> Vec<Vec<f32>> {
    let stream = Stream::new("timing");
    let mut rows = Vec::new();
    for (token, frames) in durations.iter().enumerate() {
        for _ in 0..*frames {
            let at = (rows.len() * 1000) as u64;
            let mut row: Vec<f32> = (0..durations.len() + 2)
                .map(|place| noise * (stream.uniform(at + place as u64) as f32 + 1.0) / 2.0)
                .collect();
            row[token + 1] += 1.0;
            rows.push(row);
        }
    }
    rows
}

fn aligned(text: &str, rows: &[Vec<f32>]) -> Alignment {
    let mut alignment = Alignment::new(&letters(text));
    for row in rows {
        alignment.push(row);
    }
    alignment
}

/// Every word against the frames that its letters were given.
fn check(text: &str, durations: &[usize], noise: f32) {
    let rows = rows(durations, noise);
    let timings = aligned(text, &rows).words(text, rows.len());
    let expected = words(text);
    assert_eq!(timings.iter().map(|timing| timing.text.clone()).collect::<Vec<_>>(), expected);
    let before = |byte: usize| durations[..text[..byte].chars().count()].iter().sum::<usize>() as u64 * 960;
    for timing in &timings {
        let want = before(timing.text.start)..before(timing.text.end);
        let near = |left: u64, right: u64| left.abs_diff(right) <= 960;
        assert!(
            near(timing.samples.start, want.start) && near(timing.samples.end, want.end),
            "{} {:?}, not {want:?}",
            &text[timing.text.clone()],
            timing.samples
        );
    }
    check_order(&timings, rows.len());
}

fn check_order(timings: &[WordTiming], kept: usize) {
    let mut heard = 0;
    for timing in timings {
        assert!(timing.samples.start >= heard && timing.samples.end >= timing.samples.start, "{timings:?}");
        heard = timing.samples.end;
    }
    assert!(heard <= kept as u64 * 960, "{timings:?}");
}

#[test]
fn a_clear_walk_gives_its_boundaries() {
    let even = vec![3; TEXT.len()];
    check(TEXT, &even, 0.0);
    let uneven: Vec<usize> = (0..TEXT.len()).map(|index| 1 + index * 7 % 5).collect();
    check(TEXT, &uneven, 0.0);
}

#[test]
fn noise_does_not_move_them() {
    let uneven: Vec<usize> = (0..TEXT.len()).map(|index| 1 + index * 7 % 5).collect();
    check(TEXT, &uneven, 0.5);
}

#[test]
fn pauses_belong_to_no_word() {
    let mut durations = vec![2; TEXT.len()];
    durations[7] = 30; // the comma
    durations[TEXT.len() - 1] = 40; // the full stop
    check(TEXT, &durations, 0.2);
    let rows = rows(&durations, 0.2);
    let timings = aligned(TEXT, &rows).words(TEXT, rows.len());
    assert!(timings[2].samples.start >= timings[1].samples.end + 29 * 960, "{timings:?}");
    assert!(timings[4].samples.end + 39 * 960 <= rows.len() as u64 * 960, "{timings:?}");
}

#[test]
fn a_glance_back_or_ahead_moves_nothing() {
    let durations = vec![4; TEXT.len()];
    let mut rows = rows(&durations, 0.1);
    let want = aligned(TEXT, &rows).words(TEXT, rows.len());
    rows.swap(30, 70);
    assert_eq!(aligned(TEXT, &rows).words(TEXT, rows.len()), want);
}

#[test]
fn words_that_were_passed_over_are_there_all_the_same() {
    let mut durations = vec![4; TEXT.len()];
    durations[4..8].fill(0); // "two,"
    let rows = rows(&durations, 0.0);
    let timings = aligned(TEXT, &rows).words(TEXT, rows.len());
    assert_eq!(timings.len(), 5);
    check_order(&timings, rows.len());
    assert!(timings.iter().all(|timing| !timing.samples.is_empty()), "{timings:?}");
    let mut durations = vec![4; TEXT.len()];
    durations[..8].fill(0); // the first two words
    let rows = super::tests::rows(&durations, 0.0);
    let timings = aligned(TEXT, &rows).words(TEXT, rows.len());
    check_order(&timings, rows.len());
    assert!(timings.len() == 5 && timings.iter().all(|timing| !timing.samples.is_empty()), "{timings:?}");
}

#[test]
fn without_attention_words_are_spread_evenly() {
    let kept = TEXT.len() * 4;
    for row in [vec![], vec![1.0; TEXT.len() + 2], vec![f32::NAN; TEXT.len() + 2], vec![0.0; TEXT.len() + 2]]
    {
        let timings = aligned(TEXT, &vec![row; kept]).words(TEXT, kept);
        check_order(&timings, kept);
        for timing in &timings {
            let even = timing.text.start as i64 * 4 * 960;
            assert!((timing.samples.start as i64 - even).abs() <= 4 * 960, "{timings:?}");
        }
    }
    assert_eq!(aligned(TEXT, &[]).words(TEXT, 50).len(), 5);
}

#[test]
fn what_was_cut_off_has_no_words() {
    let rows = rows(&vec![4; TEXT.len()], 0.0);
    let timings = aligned(TEXT, &rows).words(TEXT, 40);
    assert_eq!(timings.len(), 5);
    check_order(&timings, 40);
    assert!(aligned(TEXT, &rows).words(TEXT, 0).is_empty());
    assert!(Alignment::new(&TextTokens::default()).words("", 10).is_empty());
}

#[test]
fn several_words_of_one_token_and_several_tokens_of_one_letter() {
    let text = "你好 é ok";
    let mut tokens = TextTokens::default();
    for (id, source) in [(1, 0..6), (2, 6..9), (3, 7..9), (4, 9..12)] {
        tokens.ids.push(id);
        tokens.source.push(source);
    }
    let mut alignment = Alignment::new(&tokens);
    for token in [0, 0, 0, 0, 1, 1, 2, 2, 3, 3] {
        let mut row = vec![0.0; 4];
        row[token] = 1.0;
        alignment.push(&row);
    }
    let samples: Vec<_> = alignment.words(text, 10).into_iter().map(|timing| timing.samples).collect();
    assert_eq!(samples, [0..1920, 1920..3840, 3840..7680, 7680..9600]);
}

#[test]
fn links_and_cues_are_words() {
    let found = |text: &'static str| words(text).into_iter().map(|word| &text[word]).collect::<Vec<_>>();
    assert_eq!(found("a [said](/sˈɛd/) b's x-y"), ["a", "[said](/sˈɛd/)", "b's", "x-y"]);
    assert_eq!(found("[ha-ha]so [ ] it"), ["[ha-ha]", "so", "it"]);
    assert_eq!(found("[clear throat] Hm—so… [3] (x)."), ["[clear throat]", "Hm", "so", "3", "x"]);
}

#[test]
fn memory_is_bounded() {
    let mut alignment = Alignment::new(&letters("abc"));
    (0..5000).for_each(|_| alignment.push(&[0.0, 1.0, 0.0, 0.0, 0.0]));
    assert_eq!(alignment.rows.len(), 3 * MAX_SPEECH_TOKENS);
    check_order(&alignment.words("abc", 5000), 5000);
}
