//! Roman numerals, where a name or a heading word before them makes them safe: Henry VIII, Chapter IV, World War II.

use super::context::{Context, Hit};
use super::numbers;

/// Rulers and popes: a numeral behind their name is an ordinal.
const REGNAL: [&str; 60] = [
    "Henry",
    "Louis",
    "Elizabeth",
    "George",
    "Edward",
    "Charles",
    "James",
    "William",
    "Richard",
    "John",
    "Paul",
    "Pius",
    "Benedict",
    "Leo",
    "Gregory",
    "Francis",
    "Clement",
    "Urban",
    "Innocent",
    "Philip",
    "Napoleon",
    "Catherine",
    "Mary",
    "Alexander",
    "Nicholas",
    "Peter",
    "Ivan",
    "Frederick",
    "Wilhelm",
    "Ferdinand",
    "Victoria",
    "Ramses",
    "Ramesses",
    "Ptolemy",
    "Cleopatra",
    "Darius",
    "Xerxes",
    "Otto",
    "Haakon",
    "Olav",
    "Gustav",
    "Christian",
    "Albert",
    "Leopold",
    "Rainier",
    "Alfonso",
    "Isabella",
    "Carlos",
    "Felipe",
    "Umberto",
    "Emmanuel",
    "Thutmose",
    "Amenhotep",
    "Harald",
    "Margaret",
    "Robert",
    "Malcolm",
    "Joseph",
    "Maximilian",
    "Boniface",
];

/// Words that number what they name.
const NUMBERED: [&str; 35] = [
    "chapter",
    "part",
    "act",
    "scene",
    "volume",
    "book",
    "section",
    "article",
    "appendix",
    "phase",
    "type",
    "level",
    "title",
    "class",
    "stage",
    "grade",
    "figure",
    "table",
    "episode",
    "season",
    "round",
    "war",
    "bowl",
    "canto",
    "psalm",
    "unit",
    "lesson",
    "step",
    "mark",
    "schedule",
    "factor",
    "amendment",
    "vol",
    "ch",
    "bk",
];

/// Capitals that are rather a size, a title or a word than a number.
const NOT_NUMERALS: [&str; 12] = ["MIX", "MD", "CD", "DVD", "CV", "DC", "MC", "MM", "CC", "CM", "XL", "XXL"];

pub(super) fn numeral(context: &Context, pos: usize) -> Option<Hit> {
    let word = context.letters(pos);
    let end = pos + word.len();
    let value = value(word)?;
    if !context.ends(end) || context.is(end, "-") || NOT_NUMERALS.contains(&word) {
        return None;
    }
    let before = context.previous_word(pos);
    let shortened = ["vol", "Vol", "ch", "Ch", "bk"].contains(&before);
    if before.is_empty() || (context.text[..pos].ends_with(". ") && !shortened) {
        return None;
    }
    if REGNAL.contains(&before) && value < 40 && (word.len() > 1 || crowned(context, pos, before, word)) {
        return Some(Hit::one(pos..end, format!("the {}", numbers::ordinal(value, false))));
    }
    let heading = NUMBERED.contains(&before.to_ascii_lowercase().as_str());
    let safe_single = heading && matches!(word, "I" | "V" | "X") && before.starts_with(char::is_uppercase);
    if (heading && word.len() > 1) || safe_single {
        return Some(Hit::one(pos..end, numbers::cardinal(value, context.british)));
    }
    // "Rocky II", "Apollo XI": a capitalised name and more than one letter of I, V, X.
    let named = before.starts_with(char::is_uppercase) && before.chars().any(char::is_lowercase);
    let plain = word.len() > 1 && word.bytes().all(|b| matches!(b, b'I' | b'V' | b'X'));
    let article = super::words::STARTERS.contains(&before);
    (named && plain && !article && value < 40)
        .then(|| Hit::one(pos..end, numbers::cardinal(value, context.british)))
}

/// A single letter behind a ruler: "Henry V", and "I" only behind a title, as in "King Charles I".
fn crowned(context: &Context, pos: usize, name: &str, word: &str) -> bool {
    match word {
        "V" => true,
        "X" => name != "Malcolm",
        "I" => {
            let head = pos - 1 - name.len();
            let title = context.previous_word(head);
            ["King", "Queen", "Pope", "Emperor", "Empress", "Tsar", "Prince", "Sultan"].contains(&title)
        }
        _ => false,
    }
}

/// The value of a well-formed numeral up to 3999.
fn value(word: &str) -> Option<u64> {
    const STEPS: [(&str, u64); 13] = [
        ("M", 1000),
        ("CM", 900),
        ("D", 500),
        ("CD", 400),
        ("C", 100),
        ("XC", 90),
        ("L", 50),
        ("XL", 40),
        ("X", 10),
        ("IX", 9),
        ("V", 5),
        ("IV", 4),
        ("I", 1),
    ];
    if word.is_empty() || word.len() > 12 || !word.bytes().all(|b| b"IVXLCDM".contains(&b)) {
        return None;
    }
    let (mut rest, mut value) = (word, 0);
    let mut canonical = String::new();
    for (letters, step) in STEPS {
        while let Some(tail) = rest.strip_prefix(letters).filter(|_| value < 4000) {
            rest = tail;
            value += step;
        }
    }
    let mut left = value;
    for (letters, step) in STEPS {
        while left >= step && left < 4000 {
            canonical.push_str(letters);
            left -= step;
        }
    }
    (rest.is_empty() && canonical == word).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::value;

    #[test]
    fn only_well_formed_numerals_have_a_value() {
        for (word, want) in [("VIII", 8), ("XIV", 14), ("XL", 40), ("MCMLXXXIV", 1984), ("I", 1)] {
            assert_eq!(value(word), Some(want), "{word}");
        }
        for bad in ["IIII", "VX", "IC", "", "A", "VIV", "MMMMM"] {
            assert_eq!(value(bad), None, "{bad}");
        }
    }
}
