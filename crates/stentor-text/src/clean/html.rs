//! HTML in text: tags dropped, entities decoded.

/// Elements whose start or end is a break in the speech.
const BREAKING: [&str; 20] = [
    "br",
    "p",
    "div",
    "li",
    "ul",
    "ol",
    "tr",
    "table",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "blockquote",
    "section",
    "article",
    "dt",
    "dd",
];
const INLINE: [&str; 46] = [
    "a", "abbr", "b", "big", "body", "break", "center", "cite", "code", "del", "details", "em", "emphasis",
    "figure", "font", "footer", "head", "header", "html", "i", "img", "input", "ins", "kbd", "main", "mark",
    "nav", "pre", "prosody", "q", "s", "samp", "say-as", "small", "span", "speak", "strong", "sub",
    "summary", "sup", "tbody", "td", "th", "thead", "tt", "u",
];

/// Longest tag and longest comment looked for, in bytes.
const TAG_LIMIT: usize = 512;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Nothing is heard.
    Silent,
    /// A break is heard.
    Break,
    /// `<https://..>`: the address stands between the brackets.
    Address,
}

/// Where the tag, comment or bracketed address that starts at `pos` ends.
pub(crate) fn end_of_tag(text: &str, pos: usize) -> Option<usize> {
    tag_at(text, pos).map(|(_, end)| end)
}

/// The tag, comment or bracketed address that starts at `pos` with `<`, and its end. Names that HTML does not know
/// are text: "a <b and c> d" is rather mathematics.
pub(crate) fn tag_at(text: &str, pos: usize) -> Option<(Tag, usize)> {
    let bytes = text.as_bytes();
    let window = &bytes[pos..bytes.len().min(pos + TAG_LIMIT)];
    if window.starts_with(b"<!--") {
        let close = window.windows(3).position(|w| w == b"-->")?;
        return Some((Tag::Silent, pos + close + 3));
    }
    let close = 1 + window.get(1..)?.iter().position(|&b| matches!(b, b'>' | b'<'))?;
    if window[close] != b'>' {
        return None;
    }
    let inner = text.get(pos + 1..pos + close)?;
    if inner.starts_with("http://") || inner.starts_with("https://") || is_mail(inner) {
        return Some((Tag::Address, pos + close + 1));
    }
    let name = inner.trim_start_matches('/').split([' ', '/', '\n', '\t']).next()?.to_ascii_lowercase();
    if BREAKING.contains(&name.as_str()) {
        return Some((Tag::Break, pos + close + 1));
    }
    INLINE.contains(&name.as_str()).then_some((Tag::Silent, pos + close + 1))
}

/// The start of the tag or entity in which a cut at `cut` would fall, if that is behind `from`.
pub(crate) fn around(text: &str, from: usize, cut: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let near = cut.saturating_sub(TAG_LIMIT).max(from + 1);
    let at = (near..cut).rev().find(|&i| matches!(bytes[i], b'<' | b'>' | b'&'))?;
    let end = match bytes[at] {
        b'<' => tag_at(text, at).map(|tag| tag.1),
        b'&' => entity_at(text, at).map(|entity| entity.1),
        _ => None,
    };
    end.filter(|&end| end > cut).map(|_| at)
}

fn is_mail(inner: &str) -> bool {
    inner.split_once('@').is_some_and(|(_, host)| host.contains('.')) && !inner.contains(' ')
}

/// The character of the entity that starts at `pos` with `&`, and its end.
pub(crate) fn entity_at(text: &str, pos: usize) -> Option<(char, usize)> {
    let window = &text.as_bytes()[pos..text.len().min(pos + 12)];
    let close = window.iter().position(|&b| b == b';')?;
    let name = text.get(pos + 1..pos + close)?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" | "ldquo" | "rdquo" | "laquo" | "raquo" => '"',
        "apos" | "lsquo" | "rsquo" => '\'',
        "nbsp" | "ensp" | "emsp" | "thinsp" => ' ',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "copy" => '©',
        "reg" => '®',
        "trade" => '™',
        "deg" => '°',
        "times" => '×',
        "divide" => '÷',
        "plusmn" => '±',
        "pound" => '£',
        "euro" => '€',
        "yen" => '¥',
        "cent" => '¢',
        "sect" => '§',
        "frac12" => '½',
        "frac14" => '¼',
        "frac34" => '¾',
        "eacute" => 'é',
        "shy" => '\u{ad}',
        _ => return numeric(name).map(|c| (c, pos + close + 1)),
    };
    Some((c, pos + close + 1))
}

fn numeric(name: &str) -> Option<char> {
    let digits = name.strip_prefix('#')?;
    let code = match digits.strip_prefix(['x', 'X']) {
        Some(hex) => u32::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    char::from_u32(code)
}
