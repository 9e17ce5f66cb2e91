//! Emoji. They comment on what the words already say, and read out by name ("face with tears of joy") they bury the
//! sentence; so they are dropped. The few that people write instead of a word are spoken.

/// Emoji that stand for a word of the sentence.
pub(super) fn word(c: char) -> Option<&'static str> {
    Some(match c {
        '❤' | '♥' => "love",
        '💯' => "one hundred percent",
        _ => return None,
    })
}

/// Pictographs, their modifiers, flags and dingbats.
pub(super) fn is_emoji(c: char) -> bool {
    matches!(c,
        '\u{1f000}'..='\u{1f12f}' | '\u{1f14a}'..='\u{1f1ff}' | '\u{1f200}'..='\u{1faff}' | '\u{1fc00}'..='\u{1fffd}'
        | '\u{2600}'..='\u{27bf}' | '\u{231a}' | '\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23fa}'
        | '\u{25a0}'..='\u{25ff}' | '\u{2b05}'..='\u{2b07}' | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}'
        | '\u{3030}' | '\u{303d}' | '\u{3297}' | '\u{3299}' | '\u{20e3}')
}
