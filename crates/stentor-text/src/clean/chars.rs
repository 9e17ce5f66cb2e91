//! What single characters become when a text is cleaned.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

pub(super) fn is_mark(c: char) -> bool {
    c as u32 >= 0x300 && is_combining_mark(c)
}

/// Characters that neither sound nor part words: controls, zero-width and bidirectional marks, private use.
pub(super) fn is_silent(c: char) -> bool {
    matches!(c,
        '\0'..='\u{8}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{ad}'
        | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}')
}

/// The joiners shape Indic and Persian words; elsewhere they are silent.
pub(super) fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{fffc}' | '\u{fffd}' | '\u{2800}')
}

/// Quotes, dashes and hyphens in their plain forms.
pub(super) fn plain(c: char) -> char {
    match c {
        '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '〝' | '〞' => '"',
        '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' | '´' | '＇' | 'ʹ' | '‹' | '›' => '\'',
        '‐' | '‑' | '⁃' | '−' | '﹣' => '-',
        '‒' => '–',
        '―' | '⸺' | '⸻' => '—',
        '⁄' | '∕' => '/',
        '∗' => '*',
        other => other,
    }
}

/// Whether a character is a styled form of others ("𝐁", "ﬁ", "５", "½", "Ⅷ") that should be read as those.
pub(super) fn is_styled(c: char, english: bool) -> bool {
    match c {
        '\u{ff01}'..='\u{ff5e}' => english || c.is_alphanumeric(),
        '\u{fb00}'..='\u{fb06}'
        | '\u{1d400}'..='\u{1d7ff}'
        | '\u{2460}'..='\u{2473}'
        | '\u{2150}'..='\u{217f}'
        | '\u{2080}'..='\u{2089}'
        | '\u{1f130}'..='\u{1f149}'
        | '½'
        | '¼'
        | '¾'
        | '℃'
        | '℉'
        | 'Å'
        | 'Ω'
        | 'K' => true,
        '㎏' | '㎞' | '㎝' | '㎜' | '㎎' | '㎡' | '㎥' | '㏄' => english,
        _ => false,
    }
}

/// Exponents other than the common ² and ³: "10⁶".
pub(super) fn is_exponent(c: char) -> bool {
    matches!(c, '\u{2070}' | '\u{2074}'..='\u{2079}' | '\u{207b}')
}

/// Any raised digit or sign, the common ones included.
pub(super) fn is_raised(c: char) -> bool {
    is_exponent(c) || matches!(c, '¹' | '²' | '³')
}

/// The plain spelling of a styled character; `⁄` of a fraction comes out as `/`.
pub(super) fn unstyled(c: char) -> impl Iterator<Item = char> {
    std::iter::once(c).nfkc().map(plain)
}

/// Styled characters that must not run into a digit before them: "2½" is "2 1/2".
pub(super) fn stands_apart(c: char) -> bool {
    matches!(c, '½' | '¼' | '¾' | '\u{2150}'..='\u{215f}' | '\u{2460}'..='\u{2473}')
}
