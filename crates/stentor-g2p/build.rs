//! Writes the pronunciation dictionaries as tables that are searched where they lie (`src/english/table.rs` reads them
//! and describes them), so that no start has to parse their JSON or keep a map of them.

use misaki_rs::{data, lexicon::PhonemeEntry};
use std::{collections::BTreeMap, collections::HashMap, env, fs, path::PathBuf};

/// Entries in a block: its first word is written whole, the others by what they change in the one before.
const BLOCK: usize = 16;
/// The length that says "no pronunciation".
const SILENT: u8 = u8::MAX;

type Dictionary = HashMap<String, PhonemeEntry>;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names the folder"));
    let write = |name: &str, gold: &Dictionary, silver: &Dictionary| {
        fs::write(folder.join(name), table(gold, silver)).expect("the folder can be written");
    };
    write("american.bin", &data::load_us_gold(), &data::load_us_silver());
    write("british.bin", &data::load_gb_gold(), &data::load_gb_silver());
}

/// One accent: header, places of the blocks, blocks.
fn table(gold: &Dictionary, silver: &Dictionary) -> Vec<u8> {
    let mut entries: Vec<(&str, bool, &PhonemeEntry)> = Vec::new();
    entries.extend(gold.iter().map(|(word, entry)| (word.as_str(), false, entry)));
    entries.extend(silver.iter().map(|(word, entry)| (word.as_str(), true, entry)));
    entries.sort_unstable_by_key(|(word, silver, _)| (*word, *silver));
    let symbols = numbered(entries.iter().flat_map(|(.., entry)| sounds(entry)).flat_map(str::chars));
    let tags = numbered(entries.iter().flat_map(|(.., entry)| tags(entry)));

    let (mut places, mut blocks) = (Vec::new(), Vec::new());
    for block in entries.chunks(BLOCK) {
        places.push(u32::try_from(blocks.len()).expect("a table of less than 4 GiB"));
        let mut last = "";
        for (word, silver, entry) in block {
            let shared = last.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
            let tagged = matches!(entry, PhonemeEntry::Tagged(_));
            assert!(word.is_ascii() && word.len() < 64, "`{word}` does not fit the table");
            blocks.push(byte(shared) | u8::from(*silver) << 6 | u8::from(tagged) << 7);
            blocks.push(byte(word.len() - shared));
            blocks.extend_from_slice(&word.as_bytes()[shared..]);
            value(entry, &symbols, &tags, &mut blocks);
            last = word;
        }
    }
    let mut table = vec![byte(symbols.len()), byte(tags.len())];
    let by_number = |mut pairs: Vec<(String, u8)>| {
        pairs.sort_unstable_by_key(|(_, number)| *number);
        pairs.into_iter().map(|(text, _)| text)
    };
    let names = symbols.iter().map(|(symbol, n)| (symbol.to_string(), *n)).collect();
    let tags = tags.iter().map(|(tag, n)| ((*tag).to_owned(), *n)).collect();
    for name in by_number(names).chain(by_number(tags)) {
        table.push(byte(name.len()));
        table.extend_from_slice(name.as_bytes());
    }
    table.extend_from_slice(&u32::try_from(places.len()).expect("counted above").to_le_bytes());
    table.extend(places.iter().flat_map(|place| place.to_le_bytes()));
    table.extend_from_slice(&blocks);
    table
}

fn value(entry: &PhonemeEntry, symbols: &BTreeMap<char, u8>, tags: &BTreeMap<&str, u8>, into: &mut Vec<u8>) {
    let sound = |phonemes: &str, into: &mut Vec<u8>| {
        into.push(byte(phonemes.chars().count()));
        into.extend(phonemes.chars().map(|c| symbols[&c]));
    };
    match entry {
        PhonemeEntry::Simple(phonemes) => sound(phonemes, into),
        PhonemeEntry::Tagged(readings) => {
            into.push(byte(readings.len()));
            let mut readings: Vec<_> = readings.iter().collect();
            readings.sort_unstable();
            for (tag, phonemes) in readings {
                into.push(tags[tag.as_str()]);
                match phonemes {
                    Some(phonemes) => sound(phonemes, into),
                    None => into.push(SILENT),
                }
            }
        }
    }
}

fn sounds(entry: &PhonemeEntry) -> Vec<&str> {
    match entry {
        PhonemeEntry::Simple(phonemes) => vec![phonemes],
        PhonemeEntry::Tagged(readings) => readings.values().flatten().map(String::as_str).collect(),
    }
}

fn tags(entry: &PhonemeEntry) -> Vec<&str> {
    match entry {
        PhonemeEntry::Simple(_) => Vec::new(),
        PhonemeEntry::Tagged(readings) => readings.keys().map(String::as_str).collect(),
    }
}

fn numbered<T: Ord>(all: impl Iterator<Item = T>) -> BTreeMap<T, u8> {
    let mut numbers: BTreeMap<T, u8> = all.map(|item| (item, 0)).collect();
    for (at, number) in numbers.values_mut().enumerate() {
        *number = byte(at);
    }
    numbers
}

/// Every length and number in a table is far below the byte that stands for silence.
fn byte(value: usize) -> u8 {
    let byte = u8::try_from(value).expect("a byte");
    assert_ne!(byte, SILENT, "taken");
    byte
}
