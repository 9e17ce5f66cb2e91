//! Numbers that are just numbers: cardinals, decimals, ordinals, years, decades, numbered list items.

use super::context::{Context, Hit, Number, Part};
use super::{numbers, words};
use std::fmt::Write as _;

/// "1. Preheat" at the start of a block: the number of a list item.
pub(super) fn list_number(context: &Context, pos: usize) -> Option<Hit> {
    let digits = context.digits(pos);
    let end = pos + digits.len();
    let marked = context.is(end, ". ") || context.is(end, ") ");
    if pos > 1 || !context.text[..pos].trim().is_empty() || digits.len() > 3 || !marked {
        return None;
    }
    let follows = context.char(end + 2).is_some_and(char::is_alphanumeric);
    follows.then(|| {
        let mut hit = Hit::one(pos..end, format!("{},", numbers::whole(digits, context.british)));
        hit.end = end + 1;
        hit
    })
}

/// A number with its sign: "-5", "+3", "~20".
pub(super) fn signed(context: &Context, pos: usize) -> Option<Hit> {
    let (word, skip) = sign(context, pos)?;
    let number = number(context, pos + skip)?;
    let rest = &number.parts.first()?.spoken;
    let spoken = format!("{word} {rest}");
    Some(Hit::one(pos..number.end, spoken.trim_start()))
}

/// The sign at `pos`, glued to a number: its word and its length.
pub(super) fn sign(context: &Context, pos: usize) -> Option<(&'static str, usize)> {
    let c = context.char(pos)?;
    let len = c.len_utf8();
    let number =
        context.digit(pos + len) || (context.byte(pos + len) == Some(b'.') && context.digit(pos + len + 1));
    let free = context
        .before(pos)
        .is_none_or(|b| !b.is_alphanumeric() && !matches!(b, '-' | '+' | ')' | '\'' | '.'));
    let before = context.previous_word(pos);
    let word = match c {
        '~' if matches!(before, "about" | "around" | "approximately") => "",
        '-' => "minus",
        '+' => "plus",
        '~' => "about",
        '±' => "plus or minus",
        _ => return None,
    };
    (number && free).then_some((word, len))
}

/// Any number; with what clings to it: "1st", "1980s", "18-year-old".
pub(super) fn number(context: &Context, pos: usize) -> Option<Hit> {
    if let Some(hit) = ordinal(context, pos).or_else(|| decade(context, pos)) {
        return Some(hit);
    }
    let number = context.number(pos)?;
    let mut spoken = value(context, &number, pos);
    let mut end = number.end;
    end += scale(context, end, &mut spoken);
    end += compound(context, end, &mut spoken);
    if context.is(end, "×") && !context.digit(context.skip_space(end + '×'.len_utf8())) {
        spoken.push_str(" times");
        end += '×'.len_utf8();
    }
    if context.is(end, ".x") && context.ends(end + 2) {
        spoken.push_str(" point X");
        end += 2;
    }
    if context.is(end, "+") && !context.is(end + 1, "+") && !context.digit(end + 1) {
        spoken.push_str(" plus");
        end += 1;
    }
    Some(Hit::one(pos..end, spoken))
}

/// How a bare number is read: a year where it looks like one, else a cardinal.
pub(super) fn value(context: &Context, number: &Number, pos: usize) -> String {
    match number.value().filter(|_| is_year(context, number, pos)) {
        Some(year) => numbers::year(year, context.british),
        None => numbers::number(number, context.british),
    }
}

/// Four digits, from 1100 to 2099 (from 1000 after "in" and the like), and not a count of things.
fn is_year(context: &Context, number: &Number, pos: usize) -> bool {
    if number.grouped || number.whole.len() != 4 || number.fraction.is_some() {
        return false;
    }
    let before = context.previous_word(pos).to_ascii_lowercase();
    let led = words::BEFORE_YEARS.contains(&before.as_str()) || context.previous_word(pos) == "AD";
    let next = context.next_word(number.end);
    let plural = next.len() > 3
        && next.ends_with('s')
        && next.starts_with(char::is_lowercase)
        && !["this", "does", "less", "across", "plus", "thus", "always", "perhaps", "sales"].contains(&next)
        && !next.ends_with("ss");
    let range = if led { 1000..2100 } else { 1100..2100 };
    number.value().is_some_and(|v| range.contains(&v)) && (led || !plural)
}

/// "1st", "22nd", "1,000th".
fn ordinal(context: &Context, pos: usize) -> Option<Hit> {
    let number = context.number(pos).filter(|n| n.fraction.is_none())?;
    let suffix = context.letters(number.end);
    if !["st", "nd", "rd", "th"].contains(&suffix.to_ascii_lowercase().as_str()) {
        return None;
    }
    let end = number.end + suffix.len();
    let mut spoken = numbers::ordinal(number.value()?, context.british);
    let end = end + compound(context, end, &mut spoken);
    Some(Hit::one(pos..end, spoken))
}

/// "1980s", "1990's", "'90s", "90s": decades and centuries.
pub(super) fn decade(context: &Context, pos: usize) -> Option<Hit> {
    let from = if context.is(pos, "'") { pos + 1 } else { pos };
    let digits = context.digits(from);
    let value: u64 = digits.parse().ok()?;
    let mut end = from + digits.len();
    let tail = ["'s", "s"].into_iter().find(|t| context.is(end, t) && context.ends(end + t.len()));
    let before = context.previous_word(from).to_ascii_lowercase();
    let people = ["the", "in", "his", "her", "my", "our", "your", "their", "early", "mid", "late", "and"];
    let style =
        ["music", "style", "fashion", "rock", "pop", "hits", "party", "movie", "movies", "film", "films"];
    let styled = tail.is_some_and(|tail| style.contains(&context.next_word(end + tail.len())));
    let led = from > pos || styled || people.contains(&before.as_str());
    let fits = match digits.len() {
        // "30s" alone is rather thirty seconds.
        2 => value >= 10 && value.is_multiple_of(10) && led,
        4 => (1000..2200).contains(&value) && value.is_multiple_of(10),
        _ => false,
    };
    let Some(tail) = tail.filter(|_| fits) else {
        // "the summer of '69"
        let year = from > pos && digits.len() == 2 && context.ends(end);
        return year.then(|| Hit::one(pos..end, numbers::short_year(value)));
    };
    end += tail.len();
    let words = if digits.len() == 2 {
        numbers::plural(&numbers::below_hundred(value))
    } else {
        numbers::plural(&numbers::year(value, false))
    };
    let mut spoken = words;
    let end = end + compound(context, end, &mut spoken);
    Some(Hit::one(pos..end, spoken))
}

/// Behind "5m" at `pos` stands what is counted rather than measured: "people", "users".
pub(super) fn counts(context: &Context, pos: usize) -> bool {
    words::COUNTED.contains(&context.next_word(pos))
}

/// "1.5e-3", "2e10": a number times a power of ten.
pub(super) fn scientific(context: &Context, pos: usize) -> Option<Hit> {
    let number = context.number(pos).filter(|n| !n.grouped)?;
    let sign = context.byte(number.end + 1).filter(|b| matches!(b, b'-' | b'+'));
    let capital = context.is(number.end, "E") && sign.is_some();
    let at = number.end + 1 + usize::from(sign.is_some());
    let power = context.digits(at);
    let end = at + power.len();
    if !(context.is(number.end, "e") || capital) || !(1..=3).contains(&power.len()) || !context.ends(end) {
        return None;
    }
    let base = numbers::number(&number, context.british);
    let minus = if sign == Some(b'-') { "minus " } else { "" };
    let power = numbers::whole(power.trim_start_matches('0'), context.british);
    Some(Hit::one(pos..end, format!("{base} times ten to the power of {minus}{power}")))
}

/// "1066 AD", "44 BC": a year and its era.
pub(super) fn era(context: &Context, pos: usize) -> Option<Hit> {
    let number = context.number(pos).filter(|n| !n.grouped && n.whole.len() < 5)?;
    let era = context.next_word(number.end);
    if !["AD", "BC", "CE", "BCE"].contains(&era) {
        return None;
    }
    let at = number.end + 1;
    let year = numbers::year(number.value()?, context.british);
    let parts =
        vec![Part::new(pos..number.end, year), Part::new(at..at + era.len(), super::initials::spaced(era))];
    Some(Hit::of(parts, at + era.len()))
}

/// " million" and the like stay words of their own; "2.5M" and "10k" are read out.
fn scale(context: &Context, pos: usize, spoken: &mut String) -> usize {
    let letters = context.letters(pos);
    let word = match letters {
        "x" => " times",
        "M" | "mn" => " million",
        "bn" => " billion",
        "tn" => " trillion",
        "k" => " thousand",
        "m" if counts(context, pos + 1) => " million",
        _ => return 0,
    };
    if context.digit(pos + letters.len()) {
        return 0;
    }
    spoken.push_str(word);
    letters.len()
}

/// "-year-old's" behind a number: the words of the compound, its hyphens as spaces.
pub(super) fn compound(context: &Context, pos: usize, spoken: &mut String) -> usize {
    if !context.is(pos, "-") || !context.char(pos + 1).is_some_and(char::is_alphabetic) {
        return 0;
    }
    let rest = context.compound(pos + 1);
    if rest.bytes().any(|b| b.is_ascii_digit()) {
        return 0;
    }
    // "2-to-1" keeps its last number for the next rule: only letters are taken.
    write!(spoken, " {}", rest.replace('-', " ")).map_or(0, |()| 1 + rest.len())
}
