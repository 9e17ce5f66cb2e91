//! Ranges and scores: 1990-1995, 10–20, 40-60°C, 5-10%, $10-20 is in `currency`; 4x4 and 1920x1080 too.

use super::context::{Context, Hit, Number};
use super::{numbers, plain, units};

/// "10-20", "10 – 20", "40-60 °C", "1,000–2,000", "1920x1080".
pub(super) fn range(context: &Context, pos: usize) -> Option<Hit> {
    let first = context.number(pos)?;
    let (word, at) = joint(context, &first)?;
    let second = context.number(at).filter(|n| !n.whole.is_empty())?;
    let mut words = format!("{} {word} {}", side(context, &first, &second), side(context, &second, &first));
    if word == "to" && (context.is(second.end, "=") || context.is(second.end, " =")) {
        return None; // "10 - 4 = 6" is arithmetic
    }
    if word == "by" && context.is(second.end, "^") {
        return None; // "3×10^8" is a product
    }
    if word == "to" && first.whole == second.whole && first.fraction == second.fraction {
        words = words.replacen(" to ", " ", 1); // "fifty-fifty"
    }
    let unit_at = context.skip_space(second.end);
    let (end, stop) = if let Some(unit) = units::unit_at(context, unit_at, unit_at == second.end) {
        words = format!("{words} {}", units::name(unit.entry, false, context.british));
        (unit.end, unit.stop)
    } else if context.letters(second.end) == "x" {
        words.push_str(" times");
        (second.end + 1, second.end + 1)
    } else if context.letters(second.end).is_empty() {
        let end = second.end + plain::compound(context, second.end, &mut words);
        (end, end)
    } else {
        return None;
    };
    let mut hit = Hit::one(pos..end, words);
    hit.end = stop;
    Some(hit)
}

/// "1-2-3", "a 4-4-2 formation": three or more short numbers are said one after the other.
pub(super) fn sequence(context: &Context, pos: usize) -> Option<Hit> {
    let mut end = pos;
    let mut words: Vec<String> = Vec::new();
    loop {
        let digits = context.digits(end);
        if digits.is_empty() || digits.len() > 2 || words.len() > 8 {
            return None;
        }
        words.push(numbers::whole(digits, context.british));
        end += digits.len();
        if !context.is(end, "-") {
            break;
        }
        end += 1;
    }
    let decimal = context.is(end, ".") && context.digit(end + 1);
    (words.len() > 2 && context.ends(end) && !decimal).then(|| Hit::one(pos..end, words.join(" ")))
}

/// What stands between the numbers, and where the second starts.
fn joint(context: &Context, first: &Number) -> Option<(&'static str, usize)> {
    let end = first.end;
    let c = context.char(end)?;
    let second = |at: usize| context.digit(at);
    match c {
        '-' | '–' if second(end + c.len_utf8()) => Some(("to", end + c.len_utf8())),
        'x' | '×' if second(end + c.len_utf8()) => Some(("by", end + c.len_utf8())),
        '%' => {
            // "5%-10%": the first sign is not needed.
            let spaced = context.is(end, "% - ") || context.is(end, "% – ");
            let dash_at = end + 1 + usize::from(spaced);
            let dash = context.char(dash_at).filter(|c| matches!(c, '-' | '–'))?;
            let at = dash_at + dash.len_utf8() + usize::from(spaced);
            second(at).then_some(("to", at))
        }
        ' ' => {
            let sign = context.char(end + 1)?;
            let at = end + 1 + sign.len_utf8();
            if !context.is(at, " ") || !second(at + 1) {
                return None;
            }
            match sign {
                '–' => Some(("to", at + 1)),
                'x' => Some(("by", at + 1)),
                '-' => {
                    let low = first.value()?;
                    let high = context.number(at + 1)?;
                    let rising = high.value().is_some_and(|high| high > low);
                    let sum = context.is(high.end, " =") || context.is(high.end, " +");
                    (rising && !sum).then_some(("to", at + 1))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// One side: years stay years on both sides ("1990-95" has "ninety-five" on the right).
fn side(context: &Context, number: &Number, other: &Number) -> String {
    let year = |n: &Number| {
        !n.grouped
            && n.whole.len() == 4
            && n.value().is_some_and(|v| (1000..2200).contains(&v) && v % 1000 != 0)
    };
    let pixels =
        number.whole.len() >= 3 && other.whole.len() >= 3 && context.is(number.end.min(other.end), "x");
    match number.value() {
        Some(_) if pixels => numbers::label(&number.whole, context.british),
        Some(value) if year(number) && (year(other) || other.whole.len() == 2) => {
            numbers::year(value, context.british)
        }
        Some(value) if number.whole.len() == 2 && year(other) && number.whole.starts_with('0') => {
            numbers::short_year(value)
        }
        Some(value) if value == 2000 && year(other) => numbers::year(value, context.british),
        _ => numbers::number(number, context.british),
    }
}
