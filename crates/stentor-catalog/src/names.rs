//! How names are compared: voice extensions, case and Unicode form, nearness, and what of a client's string may
//! be shown again.

use unicode_normalization::UnicodeNormalization;

/// Extensions of voice files, lower case; one of them may be left on or off in a request.
pub const VOICE_EXTENSIONS: [&str; 20] = [
    "wav",
    "mp3",
    "flac",
    "ogg",
    "oga",
    "opus",
    "m4a",
    "mp4",
    "aac",
    "aif",
    "aiff",
    "caf",
    "mka",
    "mkv",
    "webm",
    "mp1",
    "mp2",
    "pt",
    "bin",
    "safetensors",
];

/// Longer names are unknown without a look: no file system has them.
pub(crate) const NAME_LIMIT: usize = 255;

/// Suggestions in an error.
const NEAREST: usize = 5;

/// Splits one known voice extension (any case) off; `None` when there is none or nothing before it.
pub(crate) fn split_extension(name: &str) -> Option<(&str, &str)> {
    let (stem, extension) = name.rsplit_once('.')?;
    let known = VOICE_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
    (known && !stem.is_empty()).then_some((stem, extension))
}

/// `name` without one known voice extension.
pub(crate) fn strip_extension(name: &str) -> &str {
    split_extension(name).map_or(name, |(stem, _)| stem)
}

pub(crate) fn nfc(name: &str) -> String {
    name.nfc().collect()
}

/// The form in which names that differ in case or Unicode composition are equal.
pub(crate) fn fold(name: &str) -> String {
    name.chars().flat_map(char::to_lowercase).nfc().collect()
}

/// A client's name as an error may repeat it: at most 64 characters, no control characters.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(64).is_some() {
        shown.push('…');
    }
    shown
}

/// The candidates nearest to `name`: those that begin with it or with which it begins first, then by edit
/// distance without regard to case.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = fold(strip_extension(name)).chars().take(64).collect();
    let mut ranked: Vec<(bool, usize, &str)> = candidates
        .map(|candidate| {
            let folded: Vec<char> = fold(candidate).chars().take(64).collect();
            let prefix = wanted.len() > 1 && (folded.starts_with(&wanted) || wanted.starts_with(&folded));
            (!prefix, distance(&wanted, &folded), candidate)
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup_by_key(|(_, _, candidate)| *candidate);
    ranked.into_iter().take(NEAREST).map(|(_, _, candidate)| candidate.to_owned()).collect()
}

/// Edit distance with insertions, deletions and substitutions (Levenshtein), in two rows.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitution = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substitution.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_known_extension_is_removed_whatever_its_case() {
        assert_eq!(strip_extension("Emily.WAV"), "Emily");
        assert_eq!(strip_extension("a.wav.wav"), "a.wav");
        assert_eq!(strip_extension("mr.smith"), "mr.smith");
        assert_eq!(strip_extension(".wav"), ".wav");
        assert_eq!(strip_extension("Emily.txt"), "Emily.txt");
    }

    #[test]
    fn distances_are_those_of_the_textbook() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("Zoë", "Zoe"), 1);
    }

    #[test]
    fn near_names_come_first_and_at_most_five() {
        let all = ["af_heart", "af_bella", "am_adam", "bf_emma", "slt", "rms", "em_alex"];
        assert_eq!(nearest("AF_HART.wav", all.into_iter())[0], "af_heart");
        assert_eq!(nearest("am", all.into_iter())[0], "am_adam");
        assert_eq!(nearest("nothing", all.into_iter()).len(), 5);
    }

    #[test]
    fn shown_names_are_short_and_printable() {
        assert_eq!(shown("a\0b\u{1b}[31m"), "a\u{fffd}b\u{fffd}[31m");
        assert_eq!(shown(&"x".repeat(10_000)).chars().count(), 65);
    }
}
