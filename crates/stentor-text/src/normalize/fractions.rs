//! Fractions: 1/2, 3/4, 2 1/2, and the pairs with a slash that are none (24/7, 8/10).

use super::context::{Context, Hit, Part};
use super::{numbers, units};

/// Pairs that people read as two numbers.
const PAIRS: [(&str, &str); 6] =
    [("24", "7"), ("9", "11"), ("50", "50"), ("20", "20"), ("7", "11"), ("60", "40")];

/// "2 1/2", "1/2", "8/10".
pub(super) fn fraction(context: &Context, pos: usize) -> Option<Hit> {
    if context.is(pos, "24/7/365") && context.ends(pos + 8) {
        return Some(Hit::one(pos..pos + 8, "twenty-four seven three sixty-five"));
    }
    let digits = context.digits(pos);
    let end = pos + digits.len();
    let mixed_at = match context.byte(end) {
        Some(b' ' | b'-') => Some(end + 1),
        _ => None,
    };
    if let Some(at) = mixed_at.filter(|&at| context.digit(at) && digits.len() < 5)
        && let Some((over, under, stop)) = slashed(context, at)
        && over < under
        && over > 0
        && under <= 20
    {
        let whole = numbers::whole(digits, context.british);
        let words = format!("{whole} and {}", part(over, under, true, context.british));
        let mut hit = with_unit(context, pos..stop, words, false);
        if context.is(end, " ") && hit.parts.len() == 1 && hit.end == stop {
            hit.parts = vec![
                Part::new(pos..end, whole),
                Part::new(at..stop, format!("and {}", part(over, under, true, context.british))),
            ];
        }
        return Some(hit);
    }
    if context.before(pos) == Some('/') {
        return None; // the middle of "13/13/2020"
    }
    let (over, under, stop) = slashed(context, pos)?;
    let (over_text, under_text) = (digits, &context.text[end + 1..stop]);
    if PAIRS.contains(&(over_text, under_text)) {
        let words = format!("{} {}", numbers::whole(over_text, false), numbers::whole(under_text, false));
        return Some(Hit::one(pos..stop, words));
    }
    if digits.len() == 4 && under_text.len() == 2 {
        let words = format!("{} {}", numbers::year(over, context.british), numbers::below_hundred(under));
        return Some(Hit::one(pos..stop, words)); // the season 2023/24
    }
    let small = over < under && over > 0 && (under <= 20 || matches!(under, 32 | 64));
    let scored = (under == 10 && over > 1)
        || (under == 5 && (context.sentence_over(stop) || context.next_word(stop) == "stars"))
        || under == 100;
    if over <= under && (scored || (under == 10 && over == 10)) {
        let of = format!(
            "{} out of {}",
            numbers::cardinal(over, context.british),
            numbers::cardinal(under, false)
        );
        return Some(Hit::one(pos..stop, of));
    }
    if small {
        return Some(with_unit(context, pos..stop, part(over, under, false, context.british), true));
    }
    let words =
        format!("{} over {}", numbers::whole(digits, context.british), numbers::whole(under_text, false));
    Some(Hit::one(pos..stop, words))
}

/// Two numbers around a slash that end there.
fn slashed(context: &Context, pos: usize) -> Option<(u64, u64, usize)> {
    let over = context.digits(pos);
    let at = pos + over.len();
    let under = if context.is(at, "/") { context.digits(at + 1) } else { "" };
    let end = at + 1 + under.len();
    if under.is_empty() || over.len() > 6 || under.len() > 6 || context.is(end, "/") {
        return None;
    }
    let letters = context.letters(end);
    let ordinal = matches!(letters, "th" | "ths" | "rd" | "rds");
    if context.is(end, ".") && context.digit(end + 1) {
        return None;
    }
    let end = if ordinal { end + letters.len() } else { end };
    Some((over.parse().ok()?, under.parse().ok()?, end))
}

/// "three quarters"; inside a mixed number one half is "a half".
fn part(over: u64, under: u64, mixed: bool, british: bool) -> String {
    let one = if mixed { "a".to_owned() } else { "one".to_owned() };
    let count = if over == 1 { one } else { numbers::cardinal(over, british) };
    let name = match under {
        2 => "half".to_owned(),
        4 => "quarter".to_owned(),
        _ => numbers::ordinal(under, british),
    };
    let count = if mixed && over == 1 && name.starts_with(['e']) { "an".to_owned() } else { count };
    let name = match (over, under) {
        (1, _) => name,
        (_, 2) => "halves".to_owned(),
        _ => format!("{name}s"),
    };
    format!("{count} {name}")
}

/// "1/2 tsp", "2 1/2 km": the unit behind, in the singular after a plain fraction.
fn with_unit(context: &Context, range: std::ops::Range<usize>, words: String, plain: bool) -> Hit {
    let at = context.skip_space(range.end);
    let Some(unit) = units::unit_at(context, at, at == range.end) else { return Hit::one(range, words) };
    let name = units::name(unit.entry, plain, context.british);
    let number = Part::new(range, words);
    Hit::of(vec![number, Part::new(at..unit.end, name)], unit.stop)
}
