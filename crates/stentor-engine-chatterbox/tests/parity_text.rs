//! Token ids are the reference's, exactly, for every family, language and odd mark of `reference/text_cases.py`.

mod text_files;

use stentor_engine_chatterbox::text::Tokenizer;
use stentor_types::Language;
use text_files::{Family, files, tokenizer};

#[test]
fn ids_are_those_of_the_reference() {
    let mut unparted = files(Family::Multilingual);
    unparted.remove("words");
    let families = [
        ("english", tokenizer(Family::English)),
        ("multilingual", Tokenizer::load(&unparted).expect("a tokenizer")),
        ("words", tokenizer(Family::Multilingual)), // Chinese once more, with a segmenter
        ("turbo", tokenizer(Family::Turbo)),
    ];
    let table = include_str!("data/text/ids.tsv");
    let mut wrong = Vec::new();
    let mut checked = std::collections::BTreeMap::new();
    for row in table.lines() {
        let [family, language, text, ids] = row.split('\t').collect::<Vec<_>>()[..] else {
            panic!("not four columns: {row}")
        };
        let text: String = serde_json::from_str(text).expect("a JSON string");
        let language: Language = language.parse().expect("a language");
        let expected: Vec<u32> = ids.split(' ').map(|id| id.parse().expect("an id")).collect();
        let tokenizer = &families.iter().find(|(name, _)| *name == family).expect("a family").1;
        let tokens = tokenizer.encode(&text, &language).expect("a text of the family's language");
        // The reference speaks full stops and question marks alone; a server keeps still.
        let expected = if text.contains(char::is_alphanumeric) { expected } else { Vec::new() };
        if tokens.ids != expected {
            wrong.push(format!("{family} {language} {text:?}\n  want {expected:?}\n  got  {:?}", tokens.ids));
        }
        assert_eq!(tokens.ids.len(), tokens.source.len());
        assert!(tokens.ids.iter().all(|id| (*id as usize) < tokenizer.vocabulary()));
        assert!(tokens.source.iter().all(|range| text.get(range.clone()).is_some()), "{text:?} {tokens:?}");
        *checked.entry(family).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        checked.len() == 4
            && checked.values().all(|count| *count >= 5)
            && checked.values().sum::<i32>() >= 140,
        "{checked:?}"
    );
}
