//! The small tokenizers of `reference/make_tokenizers.py`.

use std::{collections::BTreeMap, path::Path, path::PathBuf};
pub(crate) use stentor_engine_chatterbox::model::t3::Family;
use stentor_engine_chatterbox::text::Tokenizer;

pub(crate) fn files(family: Family) -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/text");
    let roles: &[(&str, &str)] = match family {
        Family::English => &[("tokenizer", "english.json")],
        Family::Multilingual => {
            &[("tokenizer", "multilingual.json"), ("cangjie", "cangjie.json"), ("words", "words.txt")]
        }
        Family::Turbo => &[
            ("vocab", "gpt2/vocab.json"),
            ("merges", "gpt2/merges.txt"),
            ("added_tokens", "gpt2/added_tokens.json"),
        ],
    };
    roles.iter().map(|(role, file)| ((*role).to_owned(), folder.join(file))).collect()
}

pub(crate) fn tokenizer(family: Family) -> Tokenizer {
    let tokenizer = Tokenizer::load(&files(family)).expect("a tokenizer");
    assert_eq!(tokenizer.family(), family);
    tokenizer
}
