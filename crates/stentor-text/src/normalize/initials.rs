//! Initials and spelled abbreviations: J. K. Rowling, U.S.A., George W. Bush, Ph.D., AT&T. Letters that are to be
//! spelled come out as single capitals with spaces between.

use super::context::{Context, Hit};

/// Capitals that are words when read as such, so that context has to say that they are spelled.
const SPELLED: [(&str, &str); 7] =
    [("US", "U S"), ("ID", "I D"), ("IT", "I T"), ("UK", "U K"), ("EU", "E U"), ("AI", "A I"), ("PM", "P M")];

/// The letters of `text`, capitals, with spaces between.
pub(super) fn spaced(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

pub(super) fn initials(context: &Context, pos: usize) -> Option<Hit> {
    if let Some(hit) = spelled(context, pos) {
        return Some(hit);
    }
    if context.is(pos, "Ph.D") || context.is(pos, "PhD") {
        let end = pos + if context.is(pos, "PhD") { 3 } else { 4 };
        let stop = if context.is(pos, "PhD") { end } else { context.after_stop(end) };
        if context.is(end, "s") {
            return context.ends(end + 1).then(|| Hit::one(pos..end + 1, "P H Ds"));
        }
        return context.ends(end).then(|| {
            let mut hit = Hit::one(pos..end, "P H D");
            hit.end = stop;
            hit
        });
    }
    let (letters, last_stop) = dotted(context, pos)?;
    let lower = letters.chars().all(char::is_lowercase);
    if lower {
        // "i.e." and "e.g." are abbreviations; "p.m." belongs to its number.
        return (letters.len() > 2).then(|| Hit::one(pos..last_stop, spaced(&letters.to_uppercase())));
    }
    if letters.chars().count() == 1 && !is_initial(context, pos, last_stop) {
        return None;
    }
    let end = last_stop - 1;
    let mut hit = Hit::one(pos..end, spaced(&letters));
    let single = letters.chars().count() == 1;
    hit.end = if single { last_stop } else { context.after_stop(end) };
    if context.is(last_stop, "'s") && context.ends(last_stop + 2) {
        hit = Hit::one(pos..last_stop + 2, format!("{}'s", spaced(&letters)));
    }
    Some(hit)
}

/// Letters each with a stop, "J.K." or "J. K.": the letters and the end of the last stop.
fn dotted(context: &Context, pos: usize) -> Option<(String, usize)> {
    let mut letters = String::new();
    let mut at = pos;
    let mut end = pos;
    while letters.len() < 12 {
        let Some(c) = context.char(at).filter(|c| c.is_alphabetic()) else { break };
        let dot = at + c.len_utf8();
        let same_case = letters.chars().next().is_none_or(|f| f.is_uppercase() == c.is_uppercase());
        if !context.is(dot, ".") || !same_case || context.digit(dot + 1) {
            // The last letter may come without its stop: "U.S.A".
            if at == end && letters.chars().count() > 1 && c.is_uppercase() && context.ends(dot) {
                letters.push(c);
                end = dot + usize::from(context.is(dot, "."));
            }
            break;
        }
        letters.push(c);
        end = dot + 1;
        at = end;
        let spaced_initial = c.is_uppercase()
            && context.is(at, " ")
            && context.char(at + 1).is_some_and(char::is_uppercase)
            && context.char(at + 1).is_some_and(|c| context.is(at + 1 + c.len_utf8(), "."))
            && context.letters(at + 1).chars().count() == 1;
        at += usize::from(spaced_initial);
    }
    let closed = context.text.get(..end)?.ends_with('.');
    (closed && !letters.is_empty()).then_some((letters, end))
}

/// "W." in "George W. Bush" and "J. Smith", but not in "plan B. The".
fn is_initial(context: &Context, pos: usize, end: usize) -> bool {
    let next = context.next_word(end);
    let name =
        next.chars().count() > 1 && next.starts_with(char::is_uppercase) && !context.sentence_over(end);
    let before = context.previous_word(pos);
    let led = [
        "Plan", "Vitamin", "Class", "Grade", "Type", "Group", "Section", "Part", "Option", "Appendix", "Act",
        "Chapter", "Book", "War", "Volume", "Scene", "and", "I",
    ];
    name && !led.contains(&before) && context.char(pos).is_some_and(char::is_uppercase)
}

/// "the US", "IT department": capitals that would be read as "us" and "it". Not in shouted text.
fn spelled(context: &Context, pos: usize) -> Option<Hit> {
    let word = context.letters(pos);
    let end = pos + word.len();
    let tail = if context.is(end, "'s") { "'s" } else { "" };
    if context.is(end, "&") && word.chars().count() <= 2 && word.chars().all(char::is_uppercase) {
        return Some(Hit::one(pos..end, spaced(word))); // "AT&T", "R&D"
    }
    if word == "AD" && context.is(end, " ") && context.digit(end + 1) {
        return Some(Hit::one(pos..end, "A D")); // "AD 79"
    }
    let (_, letters) = SPELLED.iter().find(|(written, _)| *written == word)?;
    let shouted = matches!(word, "US" | "IT") && shouted(context, pos, end);
    (!shouted && !context.digit(end) && !context.is(end, "-"))
        .then(|| Hit::one(pos..end + tail.len(), format!("{letters}{tail}")))
}

/// The words around are capitals too, and at least one of them is long enough to be no abbreviation.
fn shouted(context: &Context, pos: usize, end: usize) -> bool {
    let capitals = |word: &str| word.chars().all(char::is_uppercase);
    let loud = |word: &str| word.chars().count() > 2 && capitals(word);
    let before = context.previous_word(pos);
    let stopped = matches!(context.byte(end), Some(b'.' | b'!' | b'?'));
    let next = context.next_word(end + usize::from(stopped));
    let after = context.next_word(end + usize::from(stopped) + 1 + next.len());
    let goes_on = capitals(next) && capitals(after);
    capitals(before) && (goes_on || stopped) && (loud(before) || (goes_on && loud(next)))
}
