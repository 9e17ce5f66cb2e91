//! The text front ends of the three families.

use super::{Mutant, mutant};

const TEXT: &str = "crates/stentor-engine-chatterbox/src/text";

#[rustfmt::skip] // one mutant reads best as name, file, before, after
pub(super) const MUTANTS: &[Mutant] = &[
    mutant("text-turbo-keeps", (TEXT, "punctuation.rs"), "const TURBO_KEEPS: [&str; 3] = [\"...\", \" - \", \";\"];", "const TURBO_KEEPS: [&str; 3] = [\"~~~\", \"~~\", \"~\"];"),
    mutant("text-wide-ends", (TEXT, "punctuation.rs"), "ENDS.contains(&c) || (wide && WIDE_ENDS.contains(&c))", "ENDS.contains(&c) || (!wide && WIDE_ENDS.contains(&c))"),
    mutant("text-capital-first", (TEXT, "punctuation.rs"), "    text.capitalise();\n    text.collapse_spaces();", "    text.collapse_spaces();\n    text.capitalise();"),
    mutant("text-comma-space", (TEXT, "punctuation.rs"), "    (\" ,\", \",\"),", "    (\" ,\", \" ,\"),"),
    mutant("text-full-stop", (TEXT, "punctuation.rs"), "text.append('.');", "text.append('!');"),
    mutant("text-nfkd", (TEXT, "scripts.rs"), "decompose_compatible(glyph.character, |character| {", "unicode_normalization::char::decompose_canonical(glyph.character, |character| {"),
    mutant("text-mark-order", (TEXT, "scripts.rs"), "marks.sort_by_key(class);", "marks.reverse();"),
    mutant("text-sigma", (TEXT, "scripts.rs"), "flat.to_lowercase().chars()", "flat.chars().flat_map(char::to_lowercase)"),
    mutant("text-lower-case", (TEXT, "mod.rs"), "        scripts::lower(text);\n", ""),
    mutant("text-space", (TEXT, "mod.rs"), "marked.replace(\" \", SPACE);", "marked.replace(\" \", \"\");"),
    mutant("text-start", (TEXT, "mod.rs"), "tokens.push(START, 0..0);", "tokens.push(STOP, 0..0);"),
    mutant("text-stop", (TEXT, "mod.rs"), "tokens.push(STOP, end..end);", "tokens.push(START, end..end);"),
    mutant("text-turbo-framed", (TEXT, "mod.rs"), "let framed = self.family != Family::Turbo;", "let framed = true;"),
    mutant("text-language-tag", (TEXT, "mod.rs"), "let tag = format!(\"[{code}]\");", "let tag = String::from(\"[en]\");"),
    mutant("text-homonym", (TEXT, "chinese.rs"), "let place = if place > 0 {", "let place = if place > 99 {"),
    mutant("text-cangjie-end", (TEXT, "chinese.rs"), "chain(['.']);", "chain([]);"),
    mutant("text-cangjie-letters", (TEXT, "chinese.rs"), ".filter(|_| is_other_letter(glyph.character))", ".filter(|_| !glyph.character.is_control())"),
    mutant("text-prefix-space", (TEXT, "files.rs"), "ByteLevel::new(false, true, true)", "ByteLevel::new(true, true, true)"),
    mutant("text-python-spaces", (TEXT, "marked.rs"), "c.is_whitespace() || matches!(c, '\\u{1c}'..='\\u{1f}')", "c.is_whitespace()"),
];
