//! Made-up chunks: what is clean passes untouched, each failure is cut where it begins.

use super::*;
use stentor_testkit::{chatterbox::integers, hash_weights::Stream};

const STOP: u32 = 6562;
/// Text tokens of three bytes each.
const LONG: usize = 40;

fn text(tokens: usize) -> TextTokens {
    let mut text = TextTokens { ids: vec![255], source: vec![Range::default()] };
    for index in 0..tokens {
        text.ids.push(300 + index as u32);
        text.source.push(index * 3..index * 3 + 3);
    }
    text.ids.push(0);
    text.source.push(tokens * 3..tokens * 3);
    text
}

/// Different tokens, as speech has them.
fn speech(count: usize) -> Vec<u32> {
    integers("speech", count, 6561)
}

/// Attention of a text of `tokens` that stands at `place`.
fn at(place: usize, tokens: usize) -> Vec<f32> {
    let mut row = vec![0.2 / tokens as f32; tokens + 2];
    row[place + 1] += 0.6;
    row[(place + 2).min(tokens)] += 0.2;
    row
}

/// Five speech tokens for each text token.
fn walk(tokens: usize) -> impl Iterator<Item = usize> {
    (0..tokens * 5).map(|index| index / 5)
}

fn run(guard: &mut Guard, tokens: &[u32], rows: impl Iterator<Item = Vec<f32>>) -> (usize, Verdict) {
    let mut rows = rows;
    for (index, token) in tokens.iter().enumerate() {
        let verdict = guard.observe(*token, &rows.next().unwrap_or_default());
        if verdict != Verdict::Go {
            return (index, verdict);
        }
    }
    (tokens.len(), Verdict::Go)
}

#[test]
fn clean_speech_passes_untouched() {
    let places: Vec<usize> = walk(LONG).chain([LONG - 1; 20]).collect();
    let mut tokens = speech(places.len());
    tokens[50..55].fill(77); // a held vowel
    tokens[100..140].fill(4299); // a pause
    tokens.push(STOP);
    let rows = || places.iter().map(|place| at(*place, LONG)).chain([at(LONG - 1, LONG)]);
    for family in [Family::English, Family::Multilingual, Family::Turbo] {
        let mut guard = Guard::new(&text(LONG), family);
        assert_eq!(run(&mut guard, &tokens, rows()), (tokens.len(), Verdict::Go), "followed");
        let mut guard = Guard::new(&text(LONG), family);
        assert_eq!(run(&mut guard, &tokens, std::iter::empty()), (tokens.len(), Verdict::Go), "unseen");
    }
}

#[test]
fn attention_without_meaning_is_not_asked() {
    let tokens = [speech(300), vec![STOP]].concat();
    let noise = |index: usize| {
        (0..LONG + 2)
            .map(move |place| Stream::new("noise").uniform((index * 100 + place) as u64) as f32 + 1.0)
            .collect()
    };
    let flat = |_| vec![1.0 / 42.0; LONG + 2];
    let jumpy = |index| at((Stream::new("jumps").hash(index as u64) % LONG as u64) as usize, LONG);
    let broken = |_| vec![f32::NAN; LONG + 2];
    let kinds: [&dyn Fn(usize) -> Vec<f32>; 5] = [&noise, &flat, &jumpy, &broken, &|_| vec![0.0; 3]];
    for (kind, row) in kinds.into_iter().enumerate() {
        let mut guard = Guard::new(&text(LONG), Family::Turbo);
        let verdict = run(&mut guard, &tokens, (0..).map(row));
        assert_eq!(verdict, (tokens.len(), Verdict::Go), "kind {kind}");
    }
}

#[test]
fn hi_is_clean_and_never_empty() {
    for tokens in [1, 2] {
        let guard = Guard::new(&text(tokens), Family::English);
        assert_eq!(guard.min_tokens(), 6);
        assert!((90..150).contains(&guard.max_tokens()), "{}", guard.max_tokens());
    }
    let mut guard = Guard::new(&text(2), Family::English);
    let tokens = [speech(12), vec![STOP]].concat();
    let rows = (0..13).map(|_| at(1, 2));
    assert_eq!(run(&mut guard, &tokens, rows), (13, Verdict::Go));
}

#[test]
fn bounds_grow_with_the_text_up_to_the_familys_cap() {
    let bounds = |tokens, family| {
        let guard = Guard::new(&text(tokens), family);
        (guard.min_tokens(), guard.max_tokens())
    };
    assert_eq!(bounds(40, Family::English), (48, 580));
    assert_eq!(bounds(200, Family::Multilingual), (240, 1000));
    assert_eq!(bounds(200, Family::Turbo).1, 1001);
    assert_eq!(bounds(0, Family::Turbo), (6, 100));
    assert_eq!(bounds(2000, Family::English), (500, 1000));
}

#[test]
fn the_last_token_that_fits_ends_the_chunk() {
    let mut guard = Guard::new(&text(10), Family::English);
    let most = guard.max_tokens();
    let verdict = run(&mut guard, &speech(most + 5), std::iter::empty());
    assert_eq!(verdict, (most - 1, Verdict::Stop { keep: most }));
}

#[test]
fn silence_without_end_is_cut_to_a_breath() {
    let mut guard = Guard::new(&text(LONG), Family::Turbo);
    let tokens = [speech(200), vec![4299; 100]].concat();
    assert_eq!(run(&mut guard, &tokens, std::iter::empty()), (249, Verdict::Stop { keep: 205 }));
    // Silence of a few tokens in no order.
    let mut guard = Guard::new(&text(LONG), Family::Turbo);
    let hum = integers("hum", 100, 4);
    let (_, verdict) = run(&mut guard, &[speech(200), hum].concat(), std::iter::empty());
    assert_eq!(verdict, Verdict::Stop { keep: 205 });
}

#[test]
fn a_loop_is_cut_behind_its_first_round() {
    for period in [2, 3, 7, 16] {
        let mut guard = Guard::new(&text(LONG), Family::English);
        let round: Vec<u32> = (0..period).map(|index| 1000 + index).collect();
        let tokens = [speech(200), round.repeat(40)].concat();
        let (_, verdict) = run(&mut guard, &tokens, std::iter::empty());
        assert_eq!(verdict, Verdict::Stop { keep: 200 + period as usize }, "period {period}");
    }
    // A word said three times over is no loop.
    let mut guard = Guard::new(&text(LONG), Family::English);
    let tokens = [speech(50), speech(16).repeat(3), speech(200).split_off(100)].concat();
    assert_eq!(run(&mut guard, &tokens, std::iter::empty()).1, Verdict::Go);
}

#[test]
fn a_loop_in_the_middle_is_worth_another_seed() {
    let mut guard = Guard::new(&text(LONG), Family::English);
    let tokens = [speech(60), vec![5; 100]].concat();
    assert_eq!(
        run(&mut guard, &tokens, std::iter::empty()).1,
        Verdict::Retry,
        "far too soon, without attention"
    );
    assert_eq!(guard.salvage(), 65);
    let mut guard = Guard::new(&text(LONG), Family::English);
    let tokens = [speech(120), vec![5; 100]].concat();
    let places = walk(LONG).take(120).chain([24; 100]);
    let verdict = run(&mut guard, &tokens, places.map(|place| at(place, LONG)));
    assert_eq!(verdict, (169, Verdict::Retry), "attention says that text is missing");
    assert_eq!(guard.salvage(), 125);
}

#[test]
fn a_tail_behind_the_text_is_cut() {
    let mut guard = Guard::new(&text(LONG), Family::English);
    let places = walk(LONG).chain([LONG - 1; 200]);
    let (index, verdict) = run(&mut guard, &speech(400), places.map(|place| at(place, LONG)));
    // The last three tokens are reached with the token 185; they have nine letters.
    assert_eq!(verdict, Verdict::Stop { keep: 185 + 10 + 2 * 9 });
    assert_eq!(index, 185 + 25 + 4 * 9);
}

#[test]
fn a_text_said_again_is_cut_where_it_starts_over() {
    let mut guard = Guard::new(&text(LONG), Family::Multilingual);
    let places = walk(LONG).chain([LONG - 1; 10]).chain(walk(LONG));
    let (index, verdict) = run(&mut guard, &speech(450), places.map(|place| at(place, LONG)));
    assert_eq!((index, verdict), (219, Verdict::Stop { keep: 210 }));
}

#[test]
fn going_back_in_the_middle_is_worth_another_seed() {
    let mut guard = Guard::new(&text(LONG), Family::English);
    let places = walk(LONG).take(125).chain(walk(LONG));
    let (index, verdict) = run(&mut guard, &speech(300), places.map(|place| at(place, LONG)));
    assert_eq!((index, verdict), (134, Verdict::Retry));
    assert_eq!(guard.salvage(), 125);
    // A glance is not.
    let mut guard = Guard::new(&text(LONG), Family::English);
    let places = walk(LONG).enumerate().map(|(i, place)| if (120..125).contains(&i) { 3 } else { place });
    assert_eq!(run(&mut guard, &speech(200), places.map(|place| at(place, LONG))).1, Verdict::Go);
}

#[test]
fn a_text_left_in_the_middle_is_worth_another_seed() {
    let ended_after = |tokens: usize| {
        let mut guard = Guard::new(&text(LONG), Family::English);
        let places = walk(LONG).take(tokens).chain([(tokens - 1) / 5]);
        let tokens = [speech(tokens), vec![STOP]].concat();
        run(&mut guard, &tokens, places.map(|place| at(place, LONG))).1
    };
    assert_eq!(ended_after(100), Verdict::Retry);
    assert_eq!(ended_after(185), Verdict::Go, "the last word is often not looked at");
}
