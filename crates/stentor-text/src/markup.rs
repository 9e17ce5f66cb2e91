//! The two marks of our own that a text may hold: `[word](/ipa/)` and `[pause:0.5s]`.

use std::ops::Range;

/// Longest visible word, and longest transcription, of a link, in bytes; what is longer is ordinary text.
const LINK_LIMIT: usize = 256;
/// Longest pause that a text may ask for, in milliseconds.
pub(crate) const PAUSE_LIMIT_MS: u32 = 10_000;

/// A `[word](/ipa/)` link: byte ranges in the text that holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) visible: Range<usize>,
    pub(crate) end: usize,
}

/// The link that starts at byte `pos`, if one does.
pub(crate) fn link_at(text: &str, pos: usize) -> Option<Link> {
    let bytes = text.as_bytes();
    if bytes.get(pos) != Some(&b'[') {
        return None;
    }
    let close = find(bytes, pos + 1, |b| matches!(b, b'[' | b']' | b'\n'))?;
    if close == pos + 1 || !bytes[close..].starts_with(b"](/") {
        return None;
    }
    let slash = find(bytes, close + 3, |b| matches!(b, b'/' | b'\n'))?;
    if slash == close + 3 || !bytes[slash..].starts_with(b"/)") {
        return None;
    }
    Some(Link { visible: pos + 1..close, end: slash + 2 })
}

fn find(bytes: &[u8], from: usize, stop: impl Fn(u8) -> bool) -> Option<usize> {
    let window = &bytes[from..bytes.len().min(from + LINK_LIMIT)];
    window.iter().position(|&b| stop(b)).map(|i| from + i)
}

/// The `[pause:..]` mark that starts at byte `pos`: its length in milliseconds and its end.
pub(crate) fn pause_at(text: &str, pos: usize) -> Option<(u32, usize)> {
    let bytes = text.as_bytes();
    let window = &bytes[pos..bytes.len().min(pos + 32)];
    if window.len() < 9 || !window[..7].eq_ignore_ascii_case(b"[pause:") {
        return None;
    }
    let close = window.iter().position(|&b| b == b']')?;
    let inner = text.get(pos + 7..pos + close)?.trim().to_ascii_lowercase();
    let (number, unit_ms) = match inner.strip_suffix("ms") {
        Some(number) => (number, 1.0),
        None => (inner.strip_suffix('s').unwrap_or(&inner), 1000.0),
    };
    let number = number.trim();
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    let ms = (value * unit_ms).round().min(f64::from(PAUSE_LIMIT_MS)) as u32;
    Some((ms, pos + close + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_need_both_brackets_and_both_slashes() {
        assert_eq!(link_at("[a b](/x/) c", 0), Some(Link { visible: 1..4, end: 10 }));
        for bad in ["[](/x/)", "[a](//)", "[a](x)", "[a](/x)", "[[a](/x/)", "[a]", "["] {
            assert_eq!(link_at(bad, 0), None, "{bad}");
        }
    }

    #[test]
    fn pauses_are_read_in_both_units_and_clamped() {
        for (text, ms) in
            [("[pause:0.5s]", 500), ("[pause:250ms]", 250), ("[PAUSE: 2 s]", 2000), ("[pause:1]", 1000)]
        {
            assert_eq!(pause_at(text, 0), Some((ms, text.len())), "{text}");
        }
        assert_eq!(pause_at("[pause:99999s]", 0).map(|p| p.0), Some(PAUSE_LIMIT_MS));
        for bad in ["[pause:]", "[pause:-1s]", "[pause:inf]", "[pause:1.2.3s]", "[pause:1s", "[pause"] {
            assert_eq!(pause_at(bad, 0), None, "{bad}");
        }
    }
}
