//! Opens tokenizer files: a `tokenizer.json`, or the older GPT-2 layout of a vocabulary, its merges and added
//! tokens.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tokenizers::{AddedToken, Tokenizer, models::bpe::BPE, pre_tokenizers::byte_level::ByteLevel};

/// More bytes than any of these files has.
const MAX_BYTES: u64 = 64 << 20;

pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let named = |error: std::io::Error| format!("{}: {error}", path.display());
    let length = fs::metadata(path).map_err(named)?.len();
    if length > MAX_BYTES {
        return Err(format!("{}: {length} bytes are too many for a tokenizer's file", path.display()));
    }
    fs::read(path).map_err(named)
}

/// Reads a file with `parse`; the error names it.
pub(super) fn parse<T>(path: &Path, parse: impl Fn(&[u8]) -> Result<T, String>) -> Result<T, String> {
    parse(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))
}

pub(super) fn open(files: &BTreeMap<String, PathBuf>) -> Result<Tokenizer, String> {
    if let Some(path) = files.get("tokenizer") {
        return Tokenizer::from_bytes(read(path)?).map_err(|error| format!("{}: {error}", path.display()));
    }
    let (Some(vocab), Some(merges)) = (files.get("vocab"), files.get("merges")) else {
        return Err("no file has the role `tokenizer`, nor the roles `vocab` and `merges`".to_owned());
    };
    let mut tokenizer = byte_level(vocab, merges)?;
    if let Some(path) = files.get("added_tokens") {
        add(&mut tokenizer, path)?;
    }
    Ok(tokenizer)
}

/// GPT-2's byte-level BPE.
fn byte_level(vocab: &Path, merges: &Path) -> Result<Tokenizer, String> {
    let entries: std::collections::HashMap<String, u32> =
        serde_json::from_slice(&read(vocab)?).map_err(|error| format!("{}: {error}", vocab.display()))?;
    let lines = String::from_utf8(read(merges)?).map_err(|error| format!("{}: {error}", merges.display()))?;
    let pairs = lines.lines().filter(|line| !line.is_empty() && !line.starts_with("#version"));
    let pairs: Option<Vec<(String, String)>> = pairs
        .map(|line| line.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())))
        .collect();
    let pairs = pairs.ok_or_else(|| format!("{}: a line is not two parts of a token", merges.display()))?;
    let model = BPE::builder()
        .vocab_and_merges(entries.into_iter().collect::<tokenizers::models::bpe::Vocab>(), pairs)
        .build()
        .map_err(|error| format!("{} and {}: {error}", vocab.display(), merges.display()))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    Ok(tokenizer)
}

/// Tokens that stand beside the vocabulary; each must get the id that its file says.
fn add(tokenizer: &mut Tokenizer, path: &Path) -> Result<(), String> {
    let added: BTreeMap<String, u32> =
        serde_json::from_slice(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut added: Vec<(String, u32)> = added.into_iter().collect();
    added.sort_by_key(|(_, id)| *id);
    for (content, id) in added {
        let token = AddedToken::from(content.clone(), false);
        tokenizer.add_tokens([token]).map_err(|error| format!("{}: {error}", path.display()))?;
        if tokenizer.token_to_id(&content) != Some(id) {
            return Err(format!("{}: `{content}` can't have the id {id}", path.display()));
        }
    }
    Ok(())
}

/// Added tokens in square brackets, by id.
pub(super) fn cues(tokenizer: &Tokenizer) -> Vec<String> {
    let added: BTreeMap<u32, String> =
        tokenizer.get_added_tokens_decoder().into_iter().map(|(id, token)| (id, token.content)).collect();
    let cue = |content: &String| content.len() > 2 && content.starts_with('[') && content.ends_with(']');
    added.into_values().filter(cue).collect()
}
