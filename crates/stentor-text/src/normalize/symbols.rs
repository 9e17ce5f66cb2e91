//! Signs: &, @, #5, +, =, ×, <, √, arrows, C++ and C#, slashes between words, and what becomes of punctuation.

use super::context::{Context, Hit};
use super::numbers;

/// Languages whose names end in signs: "C++", "C#", "F#".
pub(super) fn letter_signs(context: &Context, pos: usize) -> Option<Hit> {
    let letters = context.letters(pos);
    let end = pos + letters.len();
    if context.is(end, "++") && letters.len() == 1 {
        return Some(Hit::one(pos..end + 2, format!("{letters} plus plus")));
    }
    if context.is(end, "#") && letters.len() == 1 && context.ends(end + 1) {
        return Some(Hit::one(pos..end + 1, format!("{letters} sharp")));
    }
    // The grade "B-", but not "vitamin A- and D-rich".
    let sign = match context.byte(end) {
        Some(b'-') if !matches!(context.next_word(end + 1), "and" | "or" | "to") => "minus",
        Some(b'+') => "plus",
        _ => return None,
    };
    let alone = context.char(end + 1).is_none_or(|c| matches!(c, ' ' | '.' | ',' | ';' | '!' | '?' | ')'));
    (matches!(letters, "A" | "B" | "C" | "D" | "F") && alone)
        .then(|| Hit::one(pos..end + 1, format!("{letters} {sign}")))
}

/// ".NET", ".gitignore", and "ASP.NET" behind its letters: the dot of a name.
pub(super) fn dotted_name(context: &Context, pos: usize) -> Option<Hit> {
    let letters = context.letters(pos + 1);
    let inner = context.before(pos).is_some_and(char::is_alphanumeric);
    let free = context.before(pos).is_none_or(|c| matches!(c, ' ' | '(' | '"' | '\''));
    let named = free && letters.len() > 1 && letters.chars().all(char::is_lowercase);
    let net = letters == "NET" && (free || inner);
    (net || named).then(|| Hit::one(pos..pos + 1 + letters.len(), format!("dot {}", letters.to_lowercase())))
}

/// A sign in front of a word, or alone between spaces.
pub(super) fn symbol(context: &Context, c: char, pos: usize) -> Option<Hit> {
    if let Some(hit) = pair(context, pos).or_else(|| joining_dash(context, c, pos)) {
        return Some(hit);
    }
    let end = pos + c.len_utf8();
    let here = pos..end;
    if let Some(word) = leading(context, c, end) {
        if c == '#' || c == '№' {
            let number = context.number(end)?;
            return Some(Hit::one(
                pos..number.end,
                format!("number {}", numbers::number(&number, context.british)),
            ));
        }
        return Some(Hit::one(here, word));
    }
    between(context, c, pos, end).map(|word| Hit::one(here, word))
}

fn leading(context: &Context, c: char, end: usize) -> Option<&'static str> {
    let number = context.digit(end);
    Some(match c {
        '#' | '№' if number => "number",
        '√' if context.char(end).is_some_and(|c| c.is_alphanumeric() || c == '(') => "square root of",
        '§' => "section",
        '©' => "copyright",
        '∞' => "infinity",
        '¶' => "paragraph",
        '≈' if number => "approximately",
        '<' if number => "less than",
        '>' if number => "more than",
        '≤' if number => "at most",
        '≥' if number => "at least",
        _ => return None,
    })
}

/// Signs of two characters, between spaces or before a number: ">= 8", "a -> b".
fn pair(context: &Context, pos: usize) -> Option<Hit> {
    const PAIRS: [(&str, &str); 6] = [
        (">=", "at least"),
        ("<=", "at most"),
        ("!=", "is not equal to"),
        ("==", "equals"),
        ("->", "to"),
        ("=>", "to"),
    ];
    let (written, word) = PAIRS.iter().find(|(written, _)| context.is(pos, written))?;
    let end = pos + written.len();
    let follows = context.char(context.skip_space(end)).is_some_and(|c| c.is_alphanumeric() || c == '-');
    let after_word = context.text[..pos].trim_end().ends_with(char::is_alphanumeric);
    (follows && after_word).then(|| Hit::one(pos..end, *word))
}

/// "1994–present", "8 a.m.–5 p.m.", "Mon.-Fri.": a dash without spaces joins two ends.
fn joining_dash(context: &Context, c: char, pos: usize) -> Option<Hit> {
    let end = pos + c.len_utf8();
    let next = context.char(end).is_some_and(char::is_alphanumeric);
    let joins = match (c, context.before(pos)?) {
        ('–', before) => before.is_alphanumeric() || before == '.',
        ('-', before) => before == '.' && !context.text[..pos].ends_with(".."),
        _ => false,
    };
    (joins && next).then(|| Hit::one(pos..end, "to"))
}

/// Signs with something to join on both sides.
fn between(context: &Context, c: char, pos: usize, end: usize) -> Option<&'static str> {
    let left = context.text[..pos].trim_end().chars().next_back();
    let right = context.char(context.skip_space(end));
    let word = |c: Option<char>| {
        c.is_some_and(|c| {
            c.is_alphanumeric()
                || matches!(c, ')' | '(' | '$' | '£' | '€' | '%' | '"' | '√' | '-' | '²' | '³' | '°')
        })
    };
    let spaced = context.before(pos) == Some(' ') && context.is(end, " ");
    if c == '&' && spaced && left.is_some_and(|c| matches!(c, '.' | ',' | '!' | '?')) && word(right) {
        return Some("and"); // "Mr. & Mrs."
    }
    if !word(left) || !word(right) {
        return None;
    }
    let digits = right.is_some_and(|c| c.is_ascii_digit());
    let named = digits && context.previous_word(pos).chars().filter(|c| c.is_alphabetic()).count() > 1;
    Some(match c {
        '&' => "and",
        '+' => "plus",
        '=' => "equals",
        '×' | '·' if right.is_some_and(|c| c.is_ascii_digit() || c == '(') => "times",
        '*' if digits || left.is_some_and(|c| c.is_ascii_digit()) => "times",
        '÷' => "divided by",
        '/' if spaced && digits && left.is_some_and(|c| c.is_ascii_digit()) => {
            let sum = context.number(end + 1).is_some_and(|n| context.is(context.skip_space(n.end), "="));
            if sum { "divided by" } else { "over" }
        }
        '≠' => "is not equal to",
        '≈' => "is approximately",
        // "Rust ≥ 1.90" names a thing, "x ≥ 3" states something.
        '≤' if named => "at most",
        '≥' if named => "at least",
        '<' if named && spaced => "less than",
        '>' if named && spaced => "more than",
        '<' if spaced || right.is_some_and(|c| c.is_ascii_digit()) => "is less than",
        '>' if spaced || right.is_some_and(|c| c.is_ascii_digit()) => "is greater than",
        '≤' => "is at most",
        '≥' => "is at least",
        '±' => "plus or minus",
        '^' if right.is_some_and(|c| c.is_ascii_digit() || c == '-') => "to the power of",
        '→' | '⇒' | '➜' => "to",
        '@' if spaced => "at",
        '-' if spaced && is_sum(context, pos, end) => "minus",
        _ => return None,
    })
}

/// "10 - 4 =" and "5 - 3": numbers on both sides.
fn is_sum(context: &Context, pos: usize, end: usize) -> bool {
    let left = context.text[..pos].trim_end().ends_with(|c: char| c.is_ascii_digit());
    left && context.digit(context.skip_space(end))
}

/// A sign inside a token, behind a letter or digit.
pub(super) fn inner(context: &Context, c: char, pos: usize) -> Option<Hit> {
    let end = pos + c.len_utf8();
    let before = context.before(pos)?;
    let next = context.char(end);
    let joins = next.is_some_and(char::is_alphanumeric);
    let here = pos..end;
    match c {
        '0'..='9' => {
            let digits = context.digits(pos);
            Some(Hit::one(pos..pos + digits.len(), numbers::label(digits, context.british)))
        }
        '–' => joining_dash(context, c, pos),
        '.' => dotted_name(context, pos),
        '%' => Some(Hit::one(here, "percent")),
        '°' => Some(Hit::one(here, if before.is_ascii_digit() { "degrees" } else { "degree" })),
        '²' => Some(Hit::one(here, "squared")),
        '³' => Some(Hit::one(here, "cubed")),
        '/' if joins => Some(Hit::one(here, "slash")),
        '@' if joins => Some(Hit::one(here, "at")),
        '&' if joins => Some(Hit::one(here, "and")),
        '+' | '=' | '×' | '*' | '<' | '>' | '÷' | '±' | '^' => {
            between(context, c, pos, end).map(|word| Hit::one(here, word))
        }
        // "2-3" behind a rule that stopped at the hyphen: nothing is heard.
        _ => None,
    }
}

/// The punctuation mark that `c` is spoken as, if any, and where to go on.
pub(super) fn punctuation(context: &Context, c: char, pos: usize) -> (Option<char>, usize) {
    let end = pos + c.len_utf8();
    if matches!(c, ':' | ';')
        && let Some(end) = emoticon(context, pos)
    {
        return (None, end);
    }
    let mark = match c {
        '.' => return stops(context, pos),
        ',' | ';' | ':' | '!' | '?' | '…' | '(' | ')' | '"' | '—' => Some(c),
        '–' => Some('—'),
        '-' => return hyphens(context, pos),
        '[' | '{' => Some('('),
        ']' | '}' => Some(')'),
        '|' | '•' | '·' | '¦' => (!context.rest(end).trim_start().is_empty()).then_some(','),
        '/' if context.is(end, " ") => Some(','),
        '‽' => Some('?'),
        '。' => Some('.'),
        '、' => Some(','),
        _ => None,
    };
    (mark, end)
}

/// ":)" and the like after a space: where it ends.
fn emoticon(context: &Context, pos: usize) -> Option<usize> {
    let mouth = pos + if context.is(pos + 1, "-") { 2 } else { 1 };
    let known = matches!(context.byte(mouth), Some(b')' | b'(' | b'D' | b'P' | b'p' | b'|' | b'/'));
    (known && context.before(pos) == Some(' ') && context.ends(mouth + 1)).then_some(mouth + 1)
}

/// Two or more stops are an ellipsis, also with spaces between: ". . .".
fn stops(context: &Context, pos: usize) -> (Option<char>, usize) {
    let mut end = pos + 1;
    let mut count = 1;
    loop {
        if context.is(end, ".") {
            end += 1;
        } else if context.is(end, " .") && !context.digit(end + 2) && !context.is(end + 2, "/") {
            end += 2;
        } else {
            break;
        }
        count += 1;
    }
    (Some(if count > 1 { '…' } else { '.' }), end)
}

/// "--" and " - " are dashes, a single hyphen is silent.
fn hyphens(context: &Context, pos: usize) -> (Option<char>, usize) {
    let mut end = pos + 1;
    while context.is(end, "-") {
        end += 1;
    }
    let spaced = context.before(pos).is_none_or(|c| c == ' ') && context.is(end, " ");
    let free = context.before(pos).is_none_or(|c| c == ' ');
    // "--release" is an option, "word--word" has a dash.
    let option = end == pos + 2 && free && context.char(end).is_some_and(char::is_lowercase);
    (((end > pos + 1 && !option) || spaced).then_some('—'), end)
}
