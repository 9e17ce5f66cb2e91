//! Digits as English words. Numbers are normalised long before they get here; this is the net under that: whatever
//! digits still arrive are read, never silent.

const ONES: [&str; 20] = [
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
const SCALES: [&str; 5] = ["", "thousand", "million", "billion", "trillion"];

/// Words for digits with `,` and `.` inside and perhaps an ending (`st nd rd th s 's`): "1,250.5", "1999", "21st", "90s".
pub(crate) fn words(text: &str) -> Vec<String> {
    let digits_end = text.rfind(|c: char| c.is_ascii_digit()).map_or(0, |at| at + 1);
    let (number, ending) = text.split_at(digits_end);
    let grouped = number.contains(',');
    let plain = number.replace(',', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut words = if grouped || !fraction.is_empty() { cardinal(whole) } else { year_or_cardinal(whole) };
    if !fraction.is_empty() {
        words.push("point");
        words.extend(digits(fraction));
    }
    let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    if let Some(last) = words.pop() {
        words.push(inflected(last, &ending.to_ascii_lowercase()));
    }
    words
}

/// Whether letters after digits belong to the number.
pub(crate) fn is_ending(letters: &str) -> bool {
    matches!(letters.to_ascii_lowercase().as_str(), "st" | "nd" | "rd" | "th" | "s" | "'s")
}

fn inflected(last: String, ending: &str) -> String {
    match ending {
        "st" | "nd" | "rd" | "th" => ordinal(&last),
        "s" | "'s" => plural(&last),
        _ => last,
    }
}

fn ordinal(word: &str) -> String {
    match word {
        "one" => "first".to_owned(),
        "two" => "second".to_owned(),
        "three" => "third".to_owned(),
        "five" => "fifth".to_owned(),
        "eight" => "eighth".to_owned(),
        "nine" => "ninth".to_owned(),
        "twelve" => "twelfth".to_owned(),
        word => word.strip_suffix('y').map_or_else(|| format!("{word}th"), |stem| format!("{stem}ieth")),
    }
}

fn plural(word: &str) -> String {
    match word {
        "six" => "sixes".to_owned(),
        word => word.strip_suffix('y').map_or_else(|| format!("{word}s"), |stem| format!("{stem}ies")),
    }
}

fn digits(text: &str) -> impl Iterator<Item = &'static str> {
    text.bytes().filter(u8::is_ascii_digit).map(|b| ONES[usize::from(b - b'0')])
}

fn year_or_cardinal(text: &str) -> Vec<&'static str> {
    if text.len() != 4 || text.starts_with('0') {
        return cardinal(text);
    }
    let (century, rest) = (below_hundred(&text[..2]), &text[2..]);
    match (&text[1..2], rest) {
        ("0", _) if &text[2..3] == "0" => cardinal(text),
        (_, "00") => [century, vec!["hundred"]].concat(),
        (_, rest) if rest.starts_with('0') => [century, vec!["oh"], digits(&rest[1..]).collect()].concat(),
        (_, rest) => [century, below_hundred(rest)].concat(),
    }
}

fn below_hundred(text: &str) -> Vec<&'static str> {
    let value: usize = text.parse().unwrap_or(0);
    match (value / 10, value % 10) {
        (0 | 1, _) => vec![ONES[value]],
        (tens, 0) => vec![TENS[tens]],
        (tens, ones) => vec![TENS[tens], ONES[ones]],
    }
}

/// Digit by digit when there is a leading zero or the number is beyond trillions.
fn cardinal(text: &str) -> Vec<&'static str> {
    if text == "0" {
        return vec!["zero"];
    }
    if text.starts_with('0') || text.len() > 15 {
        return digits(text).collect();
    }
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let head = (rest.len() - 1) % 3 + 1;
        let (group, tail) = rest.split_at(head);
        let value: usize = group.parse().unwrap_or(0);
        if value >= 100 {
            words.extend([ONES[value / 100], "hundred"]);
        }
        if !value.is_multiple_of(100) {
            words.extend(below_hundred(&(value % 100).to_string()));
        }
        if value > 0 && !tail.is_empty() {
            words.push(SCALES[tail.len() / 3]);
        }
        rest = tail;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_become_words() {
        for (text, want) in [
            ("0", "zero"),
            ("7", "seven"),
            ("21", "twenty one"),
            ("007", "zero zero seven"),
            ("105", "one hundred five"),
            ("1999", "nineteen ninety nine"),
            ("1905", "nineteen oh five"),
            ("2005", "two thousand five"),
            ("1900", "nineteen hundred"),
            ("2000", "two thousand"),
            ("2024", "twenty twenty four"),
            ("1,250", "one thousand two hundred fifty"),
            ("3.14", "three point one four"),
            (".5", "point five"),
            ("1000000", "one million"),
            (
                "12345678901234567890",
                "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
            ),
            ("1st", "first"),
            ("22nd", "twenty second"),
            ("30th", "thirtieth"),
            ("90s", "nineties"),
            ("1990s", "nineteen nineties"),
            ("6s", "sixes"),
        ] {
            assert_eq!(words(text).join(" "), want, "{text}");
        }
    }
}
