//! What `say-as` makes of its text: words for what it says the text is, or the text itself where no rule knows better.

use super::{calendar, numbers, words};
use stentor_types::Language;

/// How a text is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SayAs {
    Characters,
    Cardinal,
    Ordinal,
    /// Day, month and year stand in the order of these letters; `None` leaves them to the usual rules.
    Date(Option<DateOrder>),
    Telephone,
    /// The usual rules read it.
    Usual,
}

/// The order of a date's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DateOrder {
    DayMonthYear,
    MonthDayYear,
    YearMonthDay,
    DayMonth,
    MonthDay,
    MonthYear,
    YearMonth,
    Year,
}

impl DateOrder {
    /// As SSML writes it: `mdy`, `ymd`, `my` …; also with each letter several times, as in `yyyymmdd`.
    pub(crate) fn parse(format: &str) -> Option<Self> {
        let mut letters = format.to_ascii_lowercase().into_bytes();
        letters.retain(u8::is_ascii_alphabetic);
        letters.dedup();
        Some(match letters.as_slice() {
            b"dmy" => Self::DayMonthYear,
            b"mdy" => Self::MonthDayYear,
            b"ymd" => Self::YearMonthDay,
            b"dm" => Self::DayMonth,
            b"md" => Self::MonthDay,
            b"my" => Self::MonthYear,
            b"ym" => Self::YearMonth,
            b"y" => Self::Year,
            _ => return None,
        })
    }

    /// Day, month and year of numbers in this order.
    fn take(self, parts: &[u64]) -> Option<(Option<u64>, Option<u64>, Option<u64>)> {
        Some(match (self, parts) {
            (Self::DayMonthYear, [d, m, y])
            | (Self::MonthDayYear, [m, d, y])
            | (Self::YearMonthDay, [y, m, d]) => (Some(*d), Some(*m), Some(*y)),
            (Self::DayMonth, [d, m]) | (Self::MonthDay, [m, d]) => (Some(*d), Some(*m), None),
            (Self::MonthYear, [m, y]) | (Self::YearMonth, [y, m]) => (None, Some(*m), Some(*y)),
            (Self::Year, [y]) => (None, None, Some(*y)),
            _ => return None,
        })
    }
}

/// The text in place of `text`. Numbers are written out in English only; other languages get digits in a form that is read
/// as asked.
pub(crate) fn read(how: SayAs, text: &str, language: &Language) -> String {
    let (english, british) = (language.is_english(), language.is_british());
    let read = match how {
        SayAs::Characters => characters(text, english),
        SayAs::Telephone => telephone(text, english),
        SayAs::Cardinal if english => cardinal(text, british),
        SayAs::Ordinal if english => ordinal(text, british),
        SayAs::Date(Some(order)) if english => date(text, order, british),
        SayAs::Cardinal | SayAs::Ordinal | SayAs::Date(_) | SayAs::Usual => None,
    };
    read.unwrap_or_else(|| text.to_owned())
}

/// One after the other, by name; letters as capitals.
fn characters(text: &str, english: bool) -> Option<String> {
    let names: Vec<String> = text.chars().filter(|c| !c.is_whitespace()).map(|c| name(c, english)).collect();
    (!names.is_empty()).then(|| names.join(" "))
}

fn name(c: char, english: bool) -> String {
    match c {
        // On its own it would be read as the article.
        'a' | 'A' if english => "[A](/ˈeɪ/)".to_owned(),
        '0'..='9' if english => numbers::digits(c.encode_utf8(&mut [0; 4])),
        _ if english => symbol(c).map_or_else(|| c.to_uppercase().collect(), str::to_owned),
        _ => c.to_uppercase().collect(),
    }
}

fn symbol(c: char) -> Option<&'static str> {
    Some(match c {
        '-' | '–' => "dash",
        '_' => "underscore",
        '.' => "dot",
        ',' => "comma",
        ':' => "colon",
        ';' => "semicolon",
        '!' => "exclamation mark",
        '?' => "question mark",
        '@' => "at",
        '#' => "hash",
        '&' => "and",
        '*' => "star",
        '+' => "plus",
        '=' => "equals",
        '/' => "slash",
        '\\' => "backslash",
        '%' => "percent",
        '$' => "dollar",
        '€' => "euro",
        '£' => "pound",
        '~' => "tilde",
        '^' => "caret",
        '|' => "bar",
        '\'' => "apostrophe",
        '"' => "quote",
        '(' => "open parenthesis",
        ')' => "close parenthesis",
        '[' => "open bracket",
        ']' => "close bracket",
        '<' => "less than",
        '>' => "greater than",
        _ => return None,
    })
}

/// Digit by digit, a pause where the groups part.
fn telephone(text: &str, english: bool) -> Option<String> {
    let groups = text.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty());
    let spoken = |group: &str| {
        if english { numbers::digits(group) } else { super::initials::spaced(group) }
    };
    let groups: Vec<String> = groups.map(spoken).collect();
    let plus = if text.trim_start().starts_with('+') && english { "plus " } else { "" };
    (!groups.is_empty()).then(|| format!("{plus}{}", groups.join(", ")))
}

/// Sign and digits, without the marks between thousands.
fn whole(text: &str) -> Option<(bool, String)> {
    let text = text.trim();
    let (minus, digits) = match text.strip_prefix(['-', '−']) {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let digits: String = digits.chars().filter(|c| !matches!(c, ',' | ' ' | '\u{a0}' | '_')).collect();
    let fits = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then_some((minus, digits))
}

fn cardinal(text: &str, british: bool) -> Option<String> {
    let (minus, digits) = whole(text)?;
    let digits = digits.trim_start_matches('0');
    let spoken = numbers::whole(if digits.is_empty() { "0" } else { digits }, british);
    Some(if minus { format!("minus {spoken}") } else { spoken })
}

fn ordinal(text: &str, british: bool) -> Option<String> {
    let bare = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '.');
    let (_, digits) = whole(bare).filter(|(minus, _)| !minus)?;
    Some(numbers::ordinal(digits.parse().ok()?, british))
}

fn date(text: &str, order: DateOrder, british: bool) -> Option<String> {
    let mut parts: Vec<&str> =
        text.trim().split(['-', '/', '.', ' ']).filter(|part| !part.is_empty()).collect();
    // "20240131" has no marks to cut at.
    let joined = (order == DateOrder::YearMonthDay).then_some(text.trim()).filter(|text| text.len() == 8);
    if let Some(joined) = joined.filter(|joined| joined.bytes().all(|b| b.is_ascii_digit())) {
        parts = vec![&joined[..4], &joined[4..6], &joined[6..]];
    }
    let numbers: Option<Vec<u64>> =
        parts.iter().map(|part| Some(part).filter(|p| p.len() <= 4)?.parse().ok()).collect();
    let (day, month, year) = order.take(&numbers?)?;
    if !calendar::days_fit(day.unwrap_or(1), month.unwrap_or(1)) {
        return None;
    }
    let year = year.map(|year| numbers::year(year, british));
    let first = match (day, month) {
        (Some(day), Some(month)) => Some(calendar::day_and_month(day, month, british)),
        (None, Some(month)) => Some(words::MONTHS[(month as usize + 11) % 12].to_owned()),
        _ => None,
    };
    Some(match (first, year) {
        (Some(first), Some(year)) if day.is_some() && !british => format!("{first}, {year}"),
        (first, year) => [first, year].into_iter().flatten().collect::<Vec<_>>().join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(how: SayAs, text: &str) -> String {
        read(how, text, &Language::en_us())
    }

    #[test]
    fn characters_are_named_one_by_one() {
        assert_eq!(us(SayAs::Characters, "a1-B"), "[A](/ˈeɪ/) one dash B");
        assert_eq!(read(SayAs::Characters, "é1-b", &"fr".parse().expect("a tag")), "É 1 - B");
    }

    #[test]
    fn cardinals_are_no_years_and_ordinals_take_their_suffix() {
        assert_eq!(us(SayAs::Cardinal, "1,984"), "one thousand nine hundred eighty-four");
        assert_eq!(us(SayAs::Cardinal, "-007"), "minus seven");
        assert_eq!(us(SayAs::Cardinal, "0"), "zero");
        assert_eq!(us(SayAs::Cardinal, "3.5"), "3.5");
        for text in ["22", "22nd", "22."] {
            assert_eq!(us(SayAs::Ordinal, text), "twenty-second");
        }
        assert_eq!(us(SayAs::Ordinal, "tenth"), "tenth");
        assert_eq!(read(SayAs::Cardinal, "7", &"fr".parse().expect("a tag")), "7");
    }

    #[test]
    fn dates_are_read_in_the_order_that_their_format_gives() {
        let date = |format: &str, text: &str, language: &str| {
            let order = DateOrder::parse(format);
            assert!(order.is_some(), "{format}");
            read(SayAs::Date(order), text, &language.parse().expect("a tag"))
        };
        assert_eq!(date("mdy", "01/02/1984", "en-us"), "January second, nineteen eighty-four");
        assert_eq!(date("dmy", "01/02/1984", "en-us"), "February first, nineteen eighty-four");
        assert_eq!(date("dmy", "1.2.1984", "en-gb"), "the first of February nineteen eighty-four");
        assert_eq!(date("yyyymmdd", "20240131", "en-us"), "January thirty-first, twenty twenty-four");
        assert_eq!(date("ym", "2024-06", "en-us"), "June twenty twenty-four");
        assert_eq!(date("md", "12-25", "en-us"), "December twenty-fifth");
        assert_eq!(date("y", "1905", "en-us"), "nineteen oh five");
        assert_eq!(date("mdy", "13/13/2000", "en-us"), "13/13/2000");
        assert_eq!(date("mdy", "May 5", "en-us"), "May 5");
        assert_eq!(DateOrder::parse("week"), None);
    }

    #[test]
    fn telephone_numbers_are_read_digit_by_digit_in_their_groups() {
        assert_eq!(us(SayAs::Telephone, "+1 (555) 12-34"), "plus one, five five five, one two, three four");
        assert_eq!(read(SayAs::Telephone, "05 12", &"fr".parse().expect("a tag")), "0 5, 1 2");
        assert_eq!(us(SayAs::Telephone, "none"), "none");
    }
}
