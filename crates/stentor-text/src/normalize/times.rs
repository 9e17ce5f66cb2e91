//! Clock times (3:30pm, 15:00, 10 a.m.), durations (1:23:45), and ratios and scores, which look alike (2:1, 16:9).

use super::context::{Context, Hit};
use super::numbers;

/// Books whose chapters and verses are written like times.
const BOOKS: [&str; 34] = [
    "Genesis",
    "Exodus",
    "Leviticus",
    "Numbers",
    "Deuteronomy",
    "Joshua",
    "Judges",
    "Samuel",
    "Kings",
    "Job",
    "Psalm",
    "Psalms",
    "Ps",
    "Proverbs",
    "Ecclesiastes",
    "Isaiah",
    "Jeremiah",
    "Ezekiel",
    "Daniel",
    "Matthew",
    "Matt",
    "Mark",
    "Luke",
    "John",
    "Acts",
    "Romans",
    "Rom",
    "Corinthians",
    "Cor",
    "Galatians",
    "Ephesians",
    "Hebrews",
    "James",
    "Revelation",
];

/// A time, or two: "9:00-17:00", "10am-5pm", "10–11:30". Chapter and verse behind the name of a book.
pub(super) fn clock(context: &Context, pos: usize) -> Option<Hit> {
    if let Some(hit) = verse(context, pos) {
        return Some(hit);
    }
    let hours = context.digits(pos);
    let first = match time(context, pos) {
        Some(hit) => hit,
        None if hours.len() < 3 && hours.parse::<u64>().is_ok_and(|h| (1..25).contains(&h)) => {
            let end = pos + hours.len();
            context.char(end).filter(|c| matches!(c, '-' | '–'))?;
            Hit::one(pos..end, numbers::whole(hours, context.british))
        }
        None => return None,
    };
    let bare = first.end == pos + hours.len();
    let spaced = context.is(first.end, " - ") || context.is(first.end, " – ");
    let dash_at = first.end + usize::from(spaced);
    let second = context.char(dash_at).filter(|c| matches!(c, '-' | '–')).and_then(|dash| {
        let at = dash_at + dash.len_utf8() + usize::from(spaced);
        time(context, at).filter(|_| context.digit(at))
    });
    let Some(second) = second else { return (!bare).then_some(first) };
    let (from, to) = (&first.parts.first()?.spoken, &second.parts.first()?.spoken);
    if from.contains(" to ") || to.contains(" to ") {
        return (!bare).then_some(first); // ratios and scores
    }
    Some(Hit::one(pos..second.end, format!("{from} to {to}")))
}

/// "3:16" behind "John", "5:3-12" behind "Matt."
fn verse(context: &Context, pos: usize) -> Option<Hit> {
    let chapter = context.digits(pos);
    let at = pos + chapter.len() + 1;
    let verse = if context.is(at - 1, ":") { context.digits(at) } else { "" };
    let fits = (1..4).contains(&chapter.len()) && (1..4).contains(&verse.len());
    let timed = verse.starts_with('0') || half_day(context, at + verse.len()).is_some();
    if !fits || timed || !BOOKS.contains(&context.previous_word(pos)) {
        return None;
    }
    let mut end = at + verse.len();
    let say = |digits: &str| numbers::label(digits, context.british);
    let mut words = format!("{} {}", say(chapter), say(verse));
    if let Some(dash) = context.char(end).filter(|c| matches!(c, '-' | '–')) {
        let last = context.digits(end + dash.len_utf8());
        if (1..4).contains(&last.len()) {
            words = format!("{words} to {}", say(last));
            end += dash.len_utf8() + last.len();
        }
    }
    (context.ends(end) && !context.is(end, ":")).then(|| Hit::one(pos..end, words))
}

/// 3:30, 3:30 pm, 15:00, 12:30:15, 3pm, 3 p.m., 16:9.
fn time(context: &Context, pos: usize) -> Option<Hit> {
    let hours = context.digits(pos);
    let hour: u64 = hours.parse().ok()?;
    let mut end = pos + hours.len();
    if let Some(hit) = duration(context, pos) {
        return Some(hit);
    }
    let minutes = if context.is(end, ":") || british_point(context, end) || british_afternoon(context, pos) {
        context.digits(end + 1)
    } else {
        ""
    };
    if minutes.is_empty() {
        let (letters, stop) = half_day(context, end).filter(|_| (1..=12).contains(&hour))?;
        return Some(Hit::one(pos..stop, format!("{} {letters}", numbers::below_hundred(hour))));
    }
    end += 1 + minutes.len();
    let minute: u64 = minutes.parse().ok()?;
    if hours.len() > 2 || minutes.len() != 2 || minute > 59 || hour > 59 {
        let ratio = hours.len() <= 4 && minutes.len() <= 4 && !context.is(end, ":") && context.ends(end);
        let words = format!(
            "{} to {}",
            numbers::whole(hours, context.british),
            numbers::whole(minutes, context.british)
        );
        return ratio.then(|| Hit::one(pos..end, words));
    }
    let mut words = hour_and_minute(hours, hour, minute);
    if context.is(end, ":") && context.digits(end + 1).len() == 2 {
        let seconds: u64 = context.digits(end + 1).parse().ok()?;
        end += 3;
        if seconds > 0 {
            words = format!("{} {}", words.trim_end_matches(" o'clock"), two_digits(seconds));
        }
        if context.is(end, ".") && context.digit(end + 1) {
            end += 1 + context.digits(end + 1).len(); // fractions of a second are noise
        }
    }
    if let Some((letters, stop)) = half_day(context, end) {
        let clock = if minute == 0 { numbers::below_hundred(hour) } else { words };
        return Some(Hit::one(pos..stop, format!("{clock} {letters}")));
    }
    // "16:9-ish", "3:30ish" and the like stay whole words.
    let free = context.ends(end) || context.is(end, "Z") || context.is(end, "h");
    free.then(|| Hit::one(pos..end, words))
}

/// "at 17.30", as Britain writes times of the afternoon, but not "at 17.30 per cent".
fn british_afternoon(context: &Context, pos: usize) -> bool {
    let end = pos + 5;
    let hour = context.digits(pos).parse().is_ok_and(|hour: u64| (13..24).contains(&hour));
    let minute = context.is(pos + 2, ".") && context.digits(pos + 3).len() == 2;
    let counted = ["per", "percent", "points", "pence", "million", "billion"];
    let free =
        context.ends(end) && !context.is(end, "%") && !(context.is(end, ".") && context.digit(end + 1));
    context.british
        && context.previous_word(pos) == "at"
        && hour
        && minute
        && free
        && !counted.contains(&context.next_word(end))
}

/// "5.30pm": a point between hours and minutes, where "pm" follows.
fn british_point(context: &Context, at: usize) -> bool {
    context.is(at, ".") && context.digits(at + 1).len() == 2 && half_day(context, at + 3).is_some()
}

/// "1h30m", "2h 15min": hours and minutes that have elapsed.
fn duration(context: &Context, pos: usize) -> Option<Hit> {
    let hours = context.digits(pos);
    let at = pos + hours.len();
    let minutes_at = context.skip_space(at + 1);
    let minutes = if context.is(at, "h") { context.digits(minutes_at) } else { "" };
    let end = minutes_at + minutes.len();
    let unit = context.letters(end);
    if hours.len() > 3 || minutes.is_empty() || minutes.len() > 2 || !matches!(unit, "m" | "min" | "mins") {
        return None;
    }
    let plural = |digits: &str| if digits == "1" { "" } else { "s" };
    let words = format!(
        "{} hour{} {} minute{}",
        numbers::whole(hours, context.british),
        plural(hours),
        numbers::whole(minutes.trim_start_matches('0'), context.british),
        plural(minutes)
    );
    (minutes != "00" && minutes != "0").then(|| Hit::one(pos..end + unit.len(), words))
}

fn hour_and_minute(written: &str, hour: u64, minute: u64) -> String {
    match (hour, minute) {
        (0 | 24, 0) => "midnight".to_owned(),
        (1..=12, 0) => format!("{} o'clock", numbers::below_hundred(hour)),
        (13..=23, 0) => format!("{} hundred", numbers::below_hundred(hour)),
        (_, 0) => format!("{} minutes", numbers::below_hundred(hour)),
        _ => {
            let zero = if written == "00" || written == "0" {
                "zero".to_owned()
            } else {
                numbers::below_hundred(hour)
            };
            format!("{zero} {}", two_digits(minute))
        }
    }
}

fn two_digits(value: u64) -> String {
    match value {
        1..=9 => format!("oh {}", numbers::below_hundred(value)),
        _ => numbers::below_hundred(value),
    }
}

/// "am", "PM", "a.m." at `pos` or after a space: its letters as they are spelled, and where the reading ends.
pub(super) fn half_day(context: &Context, pos: usize) -> Option<(&'static str, usize)> {
    let at = context.skip_space(pos);
    let first = context.byte(at)?.to_ascii_lowercase();
    let letters = match first {
        b'a' => "A M",
        b'p' => "P M",
        _ => return None,
    };
    let is_m = |i: usize| context.byte(i).is_some_and(|b| b.eq_ignore_ascii_case(&b'm'));
    if is_m(at + 1) && context.ends(at + 2) {
        // "at 5 am I ..." is rare enough; "I am" has no number before it.
        return Some((letters, at + 2));
    }
    let dotted = context.is(at + 1, ".") && is_m(at + 2) && context.ends(at + 3);
    dotted.then(|| (letters, context.after_stop(at + 3)))
}
