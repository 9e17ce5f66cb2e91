//! Digits to words: cardinals, ordinals, years, decimals, digit by digit.

use super::context::Number;

const SMALL: [&str; 20] = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];
const TENS: [&str; 10] =
    ["", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
const SCALES: [&str; 6] = ["", " thousand", " million", " billion", " trillion", " quadrillion"];
/// Numbers of more digits than this are read digit by digit.
const CARDINAL_DIGITS: usize = 18;

/// "342" to "three hundred forty-two"; British adds the "and".
pub(super) fn cardinal(value: u64, british: bool) -> String {
    if value == 0 {
        return SMALL[0].to_owned();
    }
    let mut groups = Vec::new();
    let mut rest = value;
    while rest > 0 {
        groups.push(rest % 1000);
        rest /= 1000;
    }
    let mut words = String::new();
    for (scale, &group) in groups.iter().enumerate().rev().filter(|(_, group)| **group > 0) {
        if !words.is_empty() {
            words.push_str(if british && scale == 0 && group < 100 { " and " } else { " " });
        }
        words.push_str(&below_thousand(group, british));
        words.push_str(SCALES.get(scale).copied().unwrap_or(" quintillion"));
    }
    words
}

fn below_thousand(value: u64, british: bool) -> String {
    let (hundreds, rest) = (value / 100, value % 100);
    match (hundreds, rest) {
        (0, _) => below_hundred(rest),
        (_, 0) => format!("{} hundred", SMALL[hundreds as usize]),
        _ => {
            let and = if british { " and " } else { " " };
            format!("{} hundred{and}{}", SMALL[hundreds as usize], below_hundred(rest))
        }
    }
}

pub(super) fn below_hundred(value: u64) -> String {
    let (tens, ones) = ((value / 10) as usize, (value % 10) as usize);
    match (tens, ones) {
        (0 | 1, _) => SMALL[value as usize % 20].to_owned(),
        (_, 0) => TENS[tens % 10].to_owned(),
        _ => format!("{}-{}", TENS[tens % 10], SMALL[ones]),
    }
}

/// Makes the last word of a cardinal its ordinal: "twenty-one" to "twenty-first".
pub(super) fn ordinal(value: u64, british: bool) -> String {
    let words = cardinal(value, british);
    let at = words.rfind([' ', '-']).map_or(0, |i| i + 1);
    let (head, last) = words.split_at(at);
    let last = match last {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        other => match other.strip_suffix('y') {
            Some(stem) => format!("{stem}ieth"),
            None => format!("{other}th"),
        },
    };
    format!("{head}{last}")
}

/// "007" to "zero zero seven".
pub(super) fn digits(text: &str) -> String {
    let words: Vec<&str> =
        text.bytes().filter(u8::is_ascii_digit).map(|b| SMALL[usize::from(b - b'0')]).collect();
    words.join(" ")
}

/// Digits as a cardinal, or one by one when they start with zero or are too many.
pub(super) fn whole(digits_text: &str, british: bool) -> String {
    let padded = digits_text.len() > 1 && digits_text.starts_with('0');
    match digits_text.parse() {
        Ok(value) if !padded && digits_text.len() <= CARDINAL_DIGITS => cardinal(value, british),
        _ => digits(digits_text),
    }
}

/// A number as written; digits after the point are read one by one.
pub(super) fn number(number: &Number, british: bool) -> String {
    let whole_part = if number.whole.is_empty() { "zero".to_owned() } else { whole(&number.whole, british) };
    match &number.fraction {
        Some(fraction) => format!("{whole_part} point {}", digits(fraction)),
        None => whole_part,
    }
}

/// 1984 "nineteen eighty-four", 1905 "nineteen oh five", 2005 "two thousand five", 2024 "twenty twenty-four".
pub(super) fn year(value: u64, british: bool) -> String {
    let (century, rest) = (value / 100, value % 100);
    match (century, rest) {
        (0..=9 | 100.., _) | (10 | 20, 1..=9) => cardinal(value, british),
        (_, 0) if century.is_multiple_of(10) => cardinal(value, british),
        (_, 0) => format!("{} hundred", below_hundred(century)),
        (_, 1..=9) => format!("{} oh {}", below_hundred(century), below_hundred(rest)),
        _ => format!("{} {}", below_hundred(century), below_hundred(rest)),
    }
}

/// A two-digit year of a date: "05" is "oh five", "24" is "twenty-four".
pub(super) fn short_year(value: u64) -> String {
    if value < 10 { format!("oh {}", below_hundred(value)) } else { below_hundred(value) }
}

/// The plural of a number word: "nineties", "twenties", "sixes", "hundreds".
pub(super) fn plural(words: &str) -> String {
    match words.strip_suffix('y') {
        Some(stem) => format!("{stem}ies"),
        None if words.ends_with('x') => format!("{words}es"),
        None => format!("{words}s"),
    }
}

/// A number in a name, such as a house, model or room: "221" is "two twenty-one", "1080" is "ten eighty".
pub(super) fn label(text: &str, british: bool) -> String {
    let Ok(value) = text.parse::<u64>() else { return digits(text) };
    let (head, tail) = (value / 100, value % 100);
    match text.len() {
        _ if text.starts_with('0') && text.len() > 1 => digits(text),
        1 | 2 => below_hundred(value),
        3 if tail == 0 => cardinal(value, british),
        3 if tail < 10 => format!("{} oh {}", below_hundred(head), below_hundred(tail)),
        3 => format!("{} {}", below_hundred(head), below_hundred(tail)),
        4 if value % 1000 == 0 || value % 1000 < 10 => cardinal(value, british),
        4 => year(value, british),
        _ => digits(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cardinals_reach_far() {
        assert_eq!(cardinal(0, false), "zero");
        assert_eq!(cardinal(1_000_001, true), "one million and one");
        assert_eq!(cardinal(1_000_001, false), "one million one");
        assert_eq!(cardinal(u64::MAX, false).split(' ').next(), Some("eighteen"));
    }

    #[test]
    fn every_year_can_be_read() {
        for value in 0..12_000 {
            assert!(!year(value, false).is_empty());
            assert!(!label(&value.to_string(), true).is_empty());
        }
        assert_eq!(year(1066, false), "ten sixty-six");
        assert_eq!(year(2100, false), "twenty-one hundred");
    }
}
