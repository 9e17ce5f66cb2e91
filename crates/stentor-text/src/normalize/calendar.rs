//! Names of months and the spoken forms of days and years, for the date rules.

use super::context::Context;
use super::{numbers, words};

/// A month's name at a position.
pub(super) struct Month {
    pub(super) name: &'static str,
    /// End of the name, with its stop when it is an abbreviation.
    pub(super) end: usize,
}

/// The month named at `pos`, in full or abbreviated ("Sept." too).
pub(super) fn month(context: &Context, pos: usize) -> Option<Month> {
    let word = context.letters(pos);
    let end = pos + word.len();
    if let Some(name) = words::MONTHS.iter().find(|name| **name == word) {
        return Some(Month { name, end });
    }
    let short = if word == "Sept" { "Sep" } else { word };
    let index = words::MONTHS_SHORT.iter().position(|name| *name == short)?;
    let stop = usize::from(context.is(end, ".") && word != "May");
    Some(Month { name: words::MONTHS[index], end: end + stop })
}

/// A day of the month at `pos`, with or without "th": the day and its end.
pub(super) fn day(context: &Context, pos: usize) -> Option<(u64, usize)> {
    let digits = context.digits(pos);
    let value: u64 = digits.parse().ok().filter(|v| (1..=31).contains(v) && digits.len() <= 2)?;
    let end = pos + digits.len();
    let suffix = context.letters(end);
    let end = match suffix {
        "" => end,
        "st" | "nd" | "rd" | "th" => end + 2,
        _ => return None,
    };
    // "May 5.5", "May 10:30" and "May 10%" are no days; "May 5-7" is a range, read by the caller.
    let joined = context.is(end, ".") && context.digit(end + 1);
    (!joined && !context.is(end, ":") && !context.is(end, "%") && !context.is(end, "/"))
        .then_some((value, end))
}

/// A four-digit year at `pos` that ends there.
pub(super) fn year(context: &Context, pos: usize) -> Option<(u64, usize)> {
    let digits = context.digits(pos);
    let end = pos + digits.len();
    let value: u64 = digits.parse().ok().filter(|v| digits.len() == 4 && (1000..2200).contains(v))?;
    (context.ends(end) && !context.is(end, ":")).then_some((value, end))
}

/// "the twenty-fifth of December" or "December twenty-fifth", as the language has it.
pub(super) fn day_and_month(day: u64, month: u64, british: bool) -> String {
    let name = words::MONTHS[(month as usize + 11) % 12];
    let day = numbers::ordinal(day, false);
    if british { format!("the {day} of {name}") } else { format!("{name} {day}") }
}

pub(super) fn days_fit(day: u64, month: u64) -> bool {
    (1..=31).contains(&day) && (1..=12).contains(&month)
}
