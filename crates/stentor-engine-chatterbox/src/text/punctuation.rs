//! Punctuation as each family was trained on: odd marks become plain ones, and a text ends in a mark.

use super::marked::Marked;
use crate::model::t3::Family;

/// In this order; a later line sees what an earlier one wrote.
const REPLACED: [(&str, &str); 12] = [
    ("...", ", "),
    ("…", ", "),
    (":", ","),
    (" - ", ", "),
    (";", ", "),
    ("—", "-"),
    ("–", "-"),
    (" ,", ","),
    ("“", "\""),
    ("”", "\""),
    ("‘", "'"),
    ("’", "'"),
];
/// Marks that Turbo and Nano take as they are.
const TURBO_KEEPS: [&str; 3] = ["...", " - ", ";"];
const ENDS: [char; 5] = ['.', '!', '?', '-', ','];
/// Ends that the multilingual model knows as well.
const WIDE_ENDS: [char; 5] = ['、', '，', '。', '？', '！'];

/// Rewrites the punctuation of `text` for `family`.
pub(super) fn normalise(text: &mut Marked, family: Family) {
    // In this order: a text with a space in front keeps its small letter.
    text.capitalise();
    text.collapse_spaces();
    for (old, new) in REPLACED {
        if family != Family::Turbo || !TURBO_KEEPS.contains(&old) {
            text.replace(old, new);
        }
    }
    text.trim_end_spaces();
    let wide = family == Family::Multilingual;
    let ended = |c: char| ENDS.contains(&c) || (wide && WIDE_ENDS.contains(&c));
    if !text.last().is_some_and(ended) {
        text.append('.');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, family: Family) -> String {
        let mut marked = Marked::new(text);
        normalise(&mut marked, family);
        marked.flatten().0
    }

    #[test]
    fn each_family_has_its_own_rules() {
        for (text, english, turbo) in [
            ("wait... what", "Wait,  what.", "Wait... what."),
            ("a; b - c: d", "A,  b, c, d.", "A; b - c, d."),
            (" x , y", "x, y.", "x, y."),
            ("“so”—‘no’", "\"so\"-'no'.", "\"so\"-'no'."),
        ] {
            assert_eq!(read(text, Family::English), english);
            assert_eq!(read(text, Family::Multilingual), english);
            assert_eq!(read(text, Family::Turbo), turbo);
        }
        assert_eq!(read("你好。", Family::Multilingual), "你好。");
        assert_eq!(read("你好。", Family::English), "你好。.");
    }
}
