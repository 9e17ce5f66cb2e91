//! Names made of letters and digits: 221B, 5G, 2x, Q3, COVID-19, HTTP/2, MP3, H2O, GPT-4, F-16.

use super::context::{Context, Hit};
use super::{numbers, plain};

/// Longest code read piece by piece, in bytes.
const CODE_LIMIT: usize = 24;

/// "221B", "5G", "3D", "10x", "1080p", "4K".
pub(super) fn digits_first(context: &Context, pos: usize) -> Option<Hit> {
    let digits = context.digits(pos);
    let letters_at = pos + digits.len();
    let letters = context.letters(letters_at);
    if letters.is_empty() || digits.len() > 6 {
        return None;
    }
    let suffix = ["st", "nd", "rd", "th"].iter().any(|s| letters.eq_ignore_ascii_case(s));
    if suffix
        || ["s", "k", "M", "bn", "mn", "tn"].contains(&letters)
        || (letters == "m" && plain::counts(context, letters_at + 1))
    {
        return None; // ordinals, decades and scales are plain numbers
    }
    if matches!(letters, "x" | "X") && context.ends(letters_at + 1) {
        let words = format!("{} times", numbers::whole(digits, context.british));
        return Some(Hit::one(pos..letters_at + 1, words));
    }
    code(context, pos)
}

/// "Q3", "COVID-19", "HTTP/2", "MP3", "H2O".
pub(super) fn letters_first(context: &Context, pos: usize) -> Option<Hit> {
    let letters = context.letters(pos);
    let at = pos + letters.len();
    let joined =
        context.digit(at) || (matches!(context.byte(at), Some(b'-' | b'/')) && context.digit(at + 1));
    if !joined || letters.len() > 16 {
        return None;
    }
    code(context, pos)
}

/// Reads runs of letters and digits one after the other; hyphens and slashes between them are not heard.
fn code(context: &Context, pos: usize) -> Option<Hit> {
    let mut words: Vec<String> = Vec::new();
    let mut at = pos;
    let mut glued = false;
    while at - pos <= CODE_LIMIT {
        let start = at;
        let letters = context.letters(at);
        let digits = context.digits(at);
        if !letters.is_empty() {
            at += letters.len();
            let joined = context.digit(at) || glued;
            if letters == "s"
                && glued
                && let Some(last) = words.last_mut().filter(|_| context.ends(at))
            {
                *last = numbers::plural(last); // "B-52s"
                break;
            }
            words.push(spell(letters, joined, words.is_empty()));
        } else if !digits.is_empty() {
            let (word, end) = digit_run(context, at, start == pos || !glued);
            words.push(word);
            at = end;
        }
        glued = context.char(at).is_some_and(char::is_alphanumeric);
        let sign = matches!(context.byte(at), Some(b'-' | b'/'))
            && context.char(at + 1).is_some_and(char::is_alphanumeric);
        if sign {
            at += 1;
        } else if !glued || at == start {
            break;
        }
    }
    if context.is(at, "'s") && context.ends(at + 2) {
        words.last_mut()?.push_str("'s");
        at += 2;
    }
    context.ends(at).then(|| Hit::one(pos..at, words.join(" ")))
}

/// The digits at `at`: a year or quantity behind a hyphen ("mid-1990s", "GPT-4.5"), else a label.
fn digit_run(context: &Context, at: usize, apart: bool) -> (String, usize) {
    let digits = context.digits(at);
    let end = at + digits.len();
    if apart && let Some(hit) = plain::decade(context, at) {
        return (hit.parts.into_iter().map(|p| p.spoken).collect(), hit.end);
    }
    let fraction = if context.is(end, ".") { context.digits(end + 1) } else { "" };
    let words = numbers::label(digits, context.british);
    if fraction.is_empty() {
        return (words, end);
    }
    (format!("{words} point {}", numbers::digits(fraction)), end + 1 + fraction.len())
}

/// Capitals that cling to digits are spelled ("MP3"); single letters are capitals; words stay words.
fn spell(letters: &str, joined: bool, first: bool) -> String {
    let count = letters.chars().count();
    let capitals = letters.chars().all(char::is_uppercase);
    if count == 1 {
        return letters.to_uppercase();
    }
    if capitals && joined && count <= 3 {
        return super::initials::spaced(letters);
    }
    // "i7-12700kf": a tail without a vowel is no word.
    let vowel = letters.chars().any(|c| "aeiouyAEIOUY".contains(c));
    if !first && joined && !vowel && count <= 3 {
        return super::initials::spaced(&letters.to_uppercase());
    }
    letters.to_owned()
}
