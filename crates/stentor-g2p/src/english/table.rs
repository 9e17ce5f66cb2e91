//! One accent's dictionaries, searched where they lie in the program: nothing is parsed, and of the program's pages only
//! those are read on which looked-for words stand. `build.rs` writes them.
//!
//! A table is: how many symbols and tags there are (a byte each), their names (a length and UTF-8 each), how many blocks
//! there are and where each begins behind these places (32 bits each), and the blocks. A block is entries in the order of
//! their words. An entry is: how many bytes of the word before it keeps, with bit 6 set in the silver dictionary and bit 7
//! where the reading depends on the tag; how many follow, and these; then a reading, or a count of tags with a reading each.
//! A reading is a length and symbols; the length 255 is "not spoken with this tag".

use misaki_rs::lexicon::PhonemeEntry;

static AMERICAN: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/american.bin"));
static BRITISH: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/british.bin"));

const KEPT: u8 = 0x3f;
const SILVER: u8 = 0x40;
const TAGGED: u8 = 0x80;
const SILENT: u8 = u8::MAX;

/// Which of an accent's two dictionaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// Checked by hand.
    Gold,
    Silver,
}

pub(crate) struct Table {
    symbols: Vec<&'static str>,
    tags: Vec<&'static str>,
    /// Four bytes for each block.
    places: &'static [u8],
    blocks: &'static [u8],
}

/// Reads forward through bytes of a table.
#[derive(Clone, Copy)]
struct Cursor(&'static [u8]);

impl Cursor {
    fn take(&mut self, count: usize) -> &'static [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    /// Symbols; `None` where there is no pronunciation.
    fn reading(&mut self) -> Option<&'static [u8]> {
        match self.byte() {
            SILENT => None,
            length => Some(self.take(length.into())),
        }
    }

    fn names(&mut self, count: u8) -> Vec<&'static str> {
        let mut name = || {
            let length = self.byte().into();
            str::from_utf8(self.take(length)).unwrap_or_default()
        };
        (0..count).map(|_| name()).collect()
    }
}

impl Table {
    pub(crate) fn embedded(british: bool) -> Self {
        let mut cursor = Cursor(if british { BRITISH } else { AMERICAN });
        let (symbols, tags) = (cursor.byte(), cursor.byte());
        let (symbols, tags) = (cursor.names(symbols), cursor.names(tags));
        let count = number(cursor.take(4));
        let places = cursor.take(4 * count);
        Self { symbols, tags, places, blocks: cursor.0 }
    }

    /// The entry of exactly this word.
    pub(crate) fn get(&self, source: Source, word: &str) -> Option<PhonemeEntry> {
        self.find(source, word).map(|entry| self.value(&entry))
    }

    pub(crate) fn has(&self, source: Source, word: &str) -> bool {
        self.find(source, word).is_some()
    }

    fn find(&self, source: Source, word: &str) -> Option<Entry> {
        let wanted = (word.as_bytes(), source);
        // The last block that does not begin behind the word.
        let (mut from, mut to) = (0, self.places.len() / 4);
        while to - from > 1 {
            let middle = usize::midpoint(from, to);
            let first = self.block(middle).next()?;
            if (first.word.as_slice(), first.source) <= wanted { from = middle } else { to = middle }
        }
        self.block(from)
            .take_while(|entry| (entry.word.as_slice(), entry.source) <= wanted)
            .find(|entry| (entry.word.as_slice(), entry.source) == wanted)
    }

    fn block(&self, at: usize) -> Block {
        let place = |at: usize| self.places.get(4 * at..4 * at + 4).map(number);
        let end = place(at + 1).unwrap_or(self.blocks.len());
        let start = place(at).unwrap_or(end);
        Block { rest: Cursor(&self.blocks[start..end]), word: Vec::new() }
    }

    fn value(&self, entry: &Entry) -> PhonemeEntry {
        let mut cursor = entry.value;
        if !entry.tagged {
            return PhonemeEntry::Simple(self.reading(&mut cursor).unwrap_or_default());
        }
        let count = cursor.byte();
        let readings = (0..count).map(|_| {
            let tag = self.tags[usize::from(cursor.byte())];
            (tag.to_owned(), self.reading(&mut cursor))
        });
        PhonemeEntry::Tagged(readings.collect())
    }

    fn reading(&self, cursor: &mut Cursor) -> Option<String> {
        let symbols = cursor.reading()?;
        Some(symbols.iter().map(|symbol| self.symbols[usize::from(*symbol)]).collect())
    }

    /// Every word, in both dictionaries where it is in both.
    #[cfg(test)]
    pub(crate) fn entries(&self) -> impl Iterator<Item = (String, Source, PhonemeEntry)> {
        (0..self.places.len() / 4).flat_map(|at| self.block(at)).map(|entry| {
            let value = self.value(&entry);
            (String::from_utf8(entry.word).expect("ASCII"), entry.source, value)
        })
    }
}

/// One word of a block.
struct Entry {
    word: Vec<u8>,
    source: Source,
    tagged: bool,
    /// Begins at its reading or readings.
    value: Cursor,
}

struct Block {
    rest: Cursor,
    /// The entry that was read last.
    word: Vec<u8>,
}

impl Iterator for Block {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        if self.rest.0.is_empty() {
            return None;
        }
        let head = self.rest.byte();
        let added = self.rest.byte();
        self.word.truncate(usize::from(head & KEPT));
        self.word.extend_from_slice(self.rest.take(added.into()));
        let source = if head & SILVER == 0 { Source::Gold } else { Source::Silver };
        let (tagged, value) = (head & TAGGED != 0, self.rest);
        if tagged {
            for _ in 0..self.rest.byte() {
                self.rest.byte();
                self.rest.reading();
            }
        } else {
            self.rest.reading();
        }
        Some(Entry { word: self.word.clone(), source, tagged, value })
    }
}

/// Of at most four bytes, the lowest first.
fn number(bytes: &[u8]) -> usize {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use misaki_rs::data;
    use std::collections::HashMap;

    type Readings = Vec<(String, Option<String>)>;

    fn readings(entry: &PhonemeEntry) -> Readings {
        match entry {
            PhonemeEntry::Simple(phonemes) => vec![(String::new(), Some(phonemes.clone()))],
            PhonemeEntry::Tagged(map) => {
                let mut readings: Readings = map.clone().into_iter().collect();
                readings.sort_unstable();
                readings
            }
        }
    }

    #[track_caller]
    fn same_as(british: bool, gold: &HashMap<String, PhonemeEntry>, silver: &HashMap<String, PhonemeEntry>) {
        let table = Table::embedded(british);
        for (source, words) in [(Source::Gold, gold), (Source::Silver, silver)] {
            for (word, want) in words {
                let got = table.get(source, word).unwrap_or_else(|| panic!("`{word}` is missing"));
                assert_eq!(readings(&got), readings(want), "{word}");
            }
        }
        assert_eq!(table.entries().count(), gold.len() + silver.len());
    }

    #[test]
    fn the_tables_hold_what_the_dictionaries_hold() {
        same_as(false, &data::load_us_gold(), &data::load_us_silver());
        same_as(true, &data::load_gb_gold(), &data::load_gb_silver());
    }

    #[test]
    fn a_word_that_is_in_no_dictionary_is_not_found() {
        let table = Table::embedded(false);
        for word in ["", "!", "zzzzzz", "clockmakerish", "the ", "The\u{301}", "ßeta"] {
            assert!(!table.has(Source::Gold, word) && !table.has(Source::Silver, word), "{word}");
        }
        assert!(table.has(Source::Gold, "the"));
    }
}
