//! Cues in square brackets, such as `[laugh]`: done by engines that know them, never read out as words.

use std::sync::Arc;
use stentor_types::{MAX_CUE_BYTES, cue_end};

/// Cues that texts hold for engines of the kind; one that does not know them must not say "laugh" in the
/// middle of a sentence.
const WELL_KNOWN: [&str; 9] = [
    "[clear throat]",
    "[sigh]",
    "[shush]",
    "[cough]",
    "[groan]",
    "[sniff]",
    "[gasp]",
    "[chuckle]",
    "[laugh]",
];

/// The cues that an engine understands.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cues(Arc<[String]>);

impl Cues {
    pub(crate) fn new(tags: &[String]) -> Self {
        Self(tags.iter().filter(|tag| cue_end(tag, 0) == Some(tag.len())).cloned().collect())
    }

    /// The cue at byte `pos` in the engine's spelling, and where it ends. The text of a link is none.
    pub(crate) fn at(&self, text: &str, pos: usize) -> Option<(&str, usize)> {
        let end = alone_at(text, pos)?;
        let cue = self.0.iter().find(|tag| tag.eq_ignore_ascii_case(&text[pos..end]))?;
        Some((cue, end))
    }
}

/// Where the well-known cue at byte `pos` ends.
pub(crate) fn well_known_at(text: &str, pos: usize) -> Option<usize> {
    alone_at(text, pos).filter(|end| WELL_KNOWN.iter().any(|cue| cue.eq_ignore_ascii_case(&text[pos..*end])))
}

fn alone_at(text: &str, pos: usize) -> Option<usize> {
    cue_end(text, pos).filter(|end| !text[*end..].starts_with('('))
}

/// `text` without the cues at its end and the spaces around them.
pub(crate) fn before(text: &str) -> &str {
    let mut head = text.trim_end();
    while head.ends_with(']') {
        let near = head.len().saturating_sub(MAX_CUE_BYTES);
        let Some(open) = head.as_bytes()[near..].iter().rposition(|b| *b == b'[').map(|i| near + i) else {
            break;
        };
        if cue_end(head, open) != Some(head.len()) {
            break;
        }
        head = head[..open].trim_end();
    }
    head
}

/// `text` without the cues at its start and the spaces around them.
pub(crate) fn behind(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(end) = cue_end(rest, 0) {
        rest = rest[end..].trim_start();
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cues_are_told_from_other_brackets() {
        let cues = Cues::new(&["[laugh]".to_owned(), "(odd)".to_owned()]);
        assert_eq!(cues.at("x [LAUGH] y", 2), Some(("[laugh]", 9)));
        for text in ["[laugh](http://a.b)", "[laugh", "laugh]", "[laughs]", "(odd)", "[]", "[ ]", "["] {
            assert_eq!(cues.at(text, 0), None, "{text}");
        }
        assert_eq!(well_known_at("[Clear throat].", 0), Some(14));
        assert_eq!(well_known_at("[sic]", 0), None);
    }

    #[test]
    fn what_stands_before_and_behind_is_found() {
        assert_eq!(before("Fun. [laugh] [sigh] "), "Fun.");
        assert_eq!(before("a [3]"), "a [3]");
        assert_eq!(behind(" [laugh][sigh] that"), "that");
    }
}
