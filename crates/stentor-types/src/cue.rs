//! The form of cues such as `[laugh]`, on which the text's side and engines must agree to the byte.

/// Longest cue in bytes, brackets included; what is longer is ordinary text.
pub const MAX_CUE_BYTES: usize = 32;

/// Where what has the form of a cue at byte `pos` ends: words in square brackets.
pub fn cue_end(text: &str, pos: usize) -> Option<usize> {
    let rest = text.as_bytes().get(pos..)?;
    let window = &rest[..MAX_CUE_BYTES.min(rest.len())];
    let inner = window.strip_prefix(b"[")?;
    let length = inner.iter().position(|b| !(b.is_ascii_alphabetic() || matches!(b, b' ' | b'_' | b'-')))?;
    (inner[length] == b']' && inner[..length].iter().any(u8::is_ascii_alphabetic)).then_some(pos + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_brackets_have_the_form_of_a_cue() {
        for (text, end) in [("[laugh] x", 7), ("[clear throat]", 14), ("[Ha_ha-ha]", 10)] {
            assert_eq!(cue_end(text, 0), Some(end), "{text}");
        }
        assert_eq!(cue_end("é [sigh]", 3), Some(9));
        let long = [31, 30].map(|letters| format!("[{}]", "a".repeat(letters)));
        assert_eq!(long.each_ref().map(|text| cue_end(text, 0)), [None, Some(32)]);
        for text in ["", "[", "[]", "[ ]", "[3]", "[laugh", "laugh]", "[é]", "[a[b]"] {
            assert_eq!(cue_end(text, 0), None, "{text}");
        }
        assert_eq!(cue_end("[a]", 9), None);
    }
}
