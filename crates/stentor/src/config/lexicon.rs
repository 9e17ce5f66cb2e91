//! The server's lexicon: `lexicon.toml` here, or the file that is named.

use serde::Deserialize;
use std::{fs, io::Read as _, path::Path, sync::Arc};
use stentor_text::lexicon::{Entry, EntryError, Lexicon, RawEntry};
use toml::Spanned;

/// Looked for in the working directory when no file is named.
const HERE: &str = "lexicon.toml";
const MAX_BYTES: u64 = 4 * 1024 * 1024;
const MAX_ENTRIES: usize = 20_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entry: Vec<Spanned<RawEntry>>,
}

/// Reads the lexicon; what is wrong is added to `mistakes`, with its line.
pub(super) fn read(named: Option<&Path>, mistakes: &mut Vec<String>) -> Arc<Lexicon> {
    let path = match named {
        Some(path) => path,
        None if Path::new(HERE).exists() => Path::new(HERE),
        None => return Arc::default(),
    };
    let shown = path.display();
    let read = text(path).map_err(|e| format!("lexicon: {shown}: {e}"));
    match read.and_then(|text| parse(&text, &shown.to_string()).map_err(|e| format!("lexicon: {e}"))) {
        Ok(lexicon) => Arc::new(lexicon),
        Err(mistake) => {
            mistakes.push(mistake);
            Arc::default()
        }
    }
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it has more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// The first mistake ends it: those behind it are often of its making.
fn parse(text: &str, file: &str) -> Result<Lexicon, String> {
    let read: File = toml::from_str(text).map_err(|e| {
        let line = e.span().map_or(1, |span| line_of(text, span.start));
        format!("{file}:{line}: {}", e.message())
    })?;
    if read.entry.len() > MAX_ENTRIES {
        return Err(format!("{file}: it has more than {MAX_ENTRIES} entries"));
    }
    let lines: Vec<usize> = read.entry.iter().map(|entry| line_of(text, entry.span().start)).collect();
    let wrong = |index: usize, word: &str, error: &EntryError| {
        let line = lines.get(index).copied().unwrap_or(1);
        format!("{file}:{line}: entry {} (`{word}`): {error}", index + 1)
    };
    let mut entries = Vec::with_capacity(read.entry.len());
    for (index, raw) in read.entry.into_iter().map(Spanned::into_inner).enumerate() {
        let word = raw.word.clone();
        entries.push(Entry::try_from(raw).map_err(|error| wrong(index, &word, &error))?);
    }
    let words: Vec<String> = entries.iter().map(|entry| entry.word().to_owned()).collect();
    Lexicon::new(entries).map_err(|(index, error)| wrong(index, &words[index], &error))
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|b| *b == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_in_their_order() {
        let text = "# ours\n[[entry]]\nword = \"SQL\"\nreplace = \"sequel\"\n\n[[entry]]\nword = \"Nguyen\"\nipa = \"wɪn\"\ncase = \"exact\"\nlanguage = \"en\"\n";
        let lexicon = parse(text, "f").unwrap();
        let words: Vec<_> = lexicon.entries().iter().map(Entry::word).collect();
        assert_eq!(words, ["SQL", "Nguyen"]);
        assert!(parse("", "f").unwrap().is_empty());
    }

    #[test]
    fn a_mistake_is_told_with_file_line_and_entry() {
        let rows = [
            (
                "[[entry]]\nword = \"a\"\nreplace = \"b\"\n\n[[entry]]\nword = \"c\"\n",
                "f:5: entry 2 (`c`): it needs",
            ),
            (
                "[[entry]]\nword = \"a\"\nreplace = \"b\"\n[[entry]]\nword = \"A\"\nipa = \"b\"\n",
                "f:4: entry 2 (`A`): `A` stands",
            ),
            ("[[entry]]\nword = \"a\"\nsay = \"b\"\n", "f:3: unknown field `say`"),
            ("[[entry]]\nreplace = \"b\"\n", "f:1: missing field `word`"),
            ("\n[[entries]]\nword = \"a\"\n", "f:2: unknown field `entries`"),
            ("[[entry]\n", "f:1: "),
            ("[[entry]]\nword = \"a\"\ncase = \"some\"\n", "f:3: unknown variant `some`"),
        ];
        for (text, want) in rows {
            let error = parse(text, "f").unwrap_err();
            assert!(error.starts_with(want), "{text}: {error}");
        }
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let mut mistakes = Vec::new();
        read(Some(Path::new("/nowhere/lexicon.toml")), &mut mistakes);
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].starts_with("lexicon: /nowhere/lexicon.toml: "), "{mistakes:?}");
    }
}
