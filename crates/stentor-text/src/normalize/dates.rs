//! Dates: 12/25/2023, 2023-12-25, December 25, 2023, 25 Dec 2023, Dec 2023, and ranges of days.

use super::calendar::{self, day_and_month, days_fit};
use super::context::{Context, Hit, Part};
use super::{numbers, times};

/// Words before "12/25" that make it a date.
const BEFORE_DATES: [&str; 13] = [
    "on", "by", "since", "until", "till", "before", "after", "due", "from", "dated", "friday", "monday",
    "date",
];

/// 2023-12-25 (also with a time behind "T"), 12/25/2023, 25.12.2023, 12/25 after "on".
pub(super) fn numeric(context: &Context, pos: usize) -> Option<Hit> {
    let first = context.digits(pos);
    let separator = context.char(pos + first.len()).filter(|c| matches!(c, '-' | '/' | '.'))?;
    let second_at = pos + first.len() + 1;
    let second = context.digits(second_at);
    let end = second_at + second.len();
    if first.len() > 4 || second.is_empty() || second.len() > 2 {
        return None;
    }
    let (one, two) = (first.parse().ok()?, second.parse().ok()?);
    let third = if context.char(end) == Some(separator) { context.digits(end + 1) } else { "" };
    if third.is_empty() {
        let before = context.previous_word(pos).to_ascii_lowercase();
        let led = separator == '/' && BEFORE_DATES.contains(&before.as_str());
        let (day, month) = order(one, two, separator, context.british)?;
        let date = led && first.len() <= 2 && context.ends(end);
        return date.then(|| Hit::one(pos..end, day_and_month(day, month, context.british)));
    }
    let end = end + 1 + third.len();
    let three: u64 = third.parse().ok()?;
    if context.char(end) == Some(separator) && context.digit(end + 1) {
        return None;
    }
    if first.len() == 4 {
        return iso(context, pos, (one, two, three), end).filter(|_| third.len() <= 2);
    }
    if first.len() > 2 || !(third.len() == 4 || third.len() == 2) || !context.ends(end) {
        return None;
    }
    // "1.2.34" is a version rather than a date.
    if separator == '.' && (third.len() == 2 || context.before(pos) == Some('v')) {
        return None;
    }
    let (day, month) = order(one, two, separator, context.british)?;
    let year = match third.len() {
        4 => numbers::year(three, context.british),
        _ if three < 50 => numbers::year(2000 + three, context.british),
        _ => numbers::year(1900 + three, context.british),
    };
    Some(Hit::one(pos..end, spoken(context, pos, (day, month), &year)))
}

/// Day and month of two numbers: as the separator and the language say, or as they fit.
fn order(one: u64, two: u64, separator: char, british: bool) -> Option<(u64, u64)> {
    let day_first = british || separator == '.';
    let (day, month) = if day_first { (one, two) } else { (two, one) };
    if days_fit(day, month) {
        return Some((day, month));
    }
    days_fit(month, day).then_some((month, day))
}

fn iso(context: &Context, pos: usize, (year, month, day): (u64, u64, u64), end: usize) -> Option<Hit> {
    if !days_fit(day, month) {
        return None;
    }
    let year = numbers::year(year, context.british);
    let mut words = spoken(context, pos, (day, month), &year);
    if context.is(end, "T") && context.digit(end + 1) {
        let clock = times::clock(context, end + 1)?;
        let zone = usize::from(context.is(clock.end, "Z"));
        let time = &clock.parts.first()?.spoken;
        words = format!("{words}, {time}{}", if zone == 1 { " U T C" } else { "" });
        return Some(Hit::one(pos..clock.end + zone, words));
    }
    context.ends(end).then(|| Hit::one(pos..end, words))
}

fn spoken(context: &Context, pos: usize, (day, month): (u64, u64), year: &str) -> String {
    let date = day_and_month(day, month, context.british);
    let date = date.strip_prefix("the ").filter(|_| after_the(context, pos)).unwrap_or(&date);
    let comma = if context.british { "" } else { "," };
    format!("{date}{comma} {year}")
}

fn after_the(context: &Context, pos: usize) -> bool {
    context.previous_word(pos).eq_ignore_ascii_case("the")
}

/// "25 December 2023", "5 Jan.", "the 4th of July 1776": the day before its month.
pub(super) fn day_month(context: &Context, pos: usize) -> Option<Hit> {
    let (day, day_end) = calendar::day(context, pos)?;
    let space = day_end;
    let of = if context.is(space, " of ") { 4 } else { usize::from(context.is(space, " ")) };
    let month_at = space + of;
    let month = calendar::month(context, month_at).filter(|_| of > 0)?;
    // "5 May" is a date, "3 March past" hardly ever occurs; "1 Jan" in lower case is no month at all.
    let the = if after_the(context, pos) { "" } else { "the " };
    let mut parts = vec![
        Part::new(pos..day_end, format!("{the}{} of", numbers::ordinal(day, false))),
        Part::new(month_at..month.end, month.name),
    ];
    let end = year_after(context, month.end, &mut parts).unwrap_or(month.end);
    let end = if end == month.end { month_end(context, month.end) } else { end };
    Some(Hit::of(parts, end))
}

/// An abbreviation's stop is left for the sentence where it ends one.
fn month_end(context: &Context, end: usize) -> usize {
    if context.before(end) == Some('.') && context.sentence_over(end) { end - 1 } else { end }
}

fn year_after(context: &Context, pos: usize, parts: &mut Vec<Part>) -> Option<usize> {
    let at = pos + [", ", " ", ","].iter().find(|gap| context.is(pos, gap))?.len();
    let (year, end) = calendar::year(context, at)?;
    parts.push(Part::new(at..end, numbers::year(year, context.british)));
    Some(end)
}

/// "December 25, 2023", "Dec. 25", "May 5-7", "December 2023".
pub(super) fn month_day(context: &Context, pos: usize) -> Option<Hit> {
    let month = calendar::month(context, pos)?;
    let name = Part::new(pos..month.end, month.name);
    if let Some(dash) = context.char(month.end).filter(|c| matches!(c, '-' | '–')) {
        let next = month.end + dash.len_utf8();
        let last = calendar::month(context, next)?;
        if context.ends(last.end) && !context.digit(context.skip_space(last.end)) {
            let mut hit = Hit::one(pos..last.end, format!("{} to {}", month.name, last.name));
            hit.end = month_end(context, last.end);
            return Some(hit);
        }
        return Some(Hit::one(pos..next, format!("{} to", month.name)));
    }
    let day_at = month.end + usize::from(context.is(month.end, " "));
    if day_at == month.end {
        return abbreviated(context, name);
    }
    if calendar::year(context, day_at).is_some() {
        let mut parts = vec![name];
        let end = year_after(context, month.end, &mut parts)?;
        return Some(Hit::of(parts, end));
    }
    let Some((day, day_end)) = calendar::day(context, day_at).filter(|d| context.ends(d.1)) else {
        return abbreviated(context, name);
    };
    let the = if context.british { "the " } else { "" };
    let mut words = format!("{the}{}", numbers::ordinal(day, false));
    let mut end = day_end;
    if let Some(dash) = context.char(end).filter(|c| matches!(c, '-' | '–'))
        && let Some((last, last_end)) = calendar::day(context, end + dash.len_utf8())
    {
        words = format!("{words} to {the}{}", numbers::ordinal(last, false));
        end = last_end;
    }
    let mut parts = vec![name, Part::new(day_at..end, words)];
    let mut with_year = parts.clone();
    if let Some(year_end) = year_after(context, end, &mut with_year) {
        with_year[1].spoken.push(',');
        parts = with_year;
        end = year_end;
    }
    Some(Hit::of(parts, end))
}

/// "Jan." alone.
fn abbreviated(context: &Context, name: Part) -> Option<Hit> {
    if !context.text[name.range.clone()].ends_with('.')
        || name.spoken == "March" && !context.is(name.range.end, " ")
    {
        return None;
    }
    let end = month_end(context, name.range.end);
    Some(Hit::of(vec![name], end))
}
