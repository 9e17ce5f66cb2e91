//! Whole models of the Chatterbox family in a folder: hash weights, a voice of hash numbers, and small tokenizers.

use crate::chatterbox::{Depth, Part, integers, noise, write};
use safetensors::{Dtype, tensor::TensorView};
use std::{collections::BTreeMap, io, path::Path, path::PathBuf};

/// A file of the engine's tests.
macro_rules! text {
    ($file:literal) => {
        include_bytes!(concat!("../../stentor-engine-chatterbox/tests/data/text/", $file))
    };
}

/// One of the family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    English,
    Multilingual,
    Turbo,
    Nano,
}

impl Variant {
    fn turbo(self) -> bool {
        matches!(self, Self::Turbo | Self::Nano)
    }

    fn t3(self) -> Part {
        match self {
            Self::English => Part::T3English,
            Self::Multilingual => Part::T3Multilingual,
            Self::Turbo => Part::T3Turbo,
            Self::Nano => Part::T3Nano,
        }
    }

    /// The tokenizer's files by role. They know few words, which costs a model nothing: a token is a token.
    fn tokenizer(self) -> &'static [(&'static str, &'static str, &'static [u8])] {
        match self {
            Self::English => &[("tokenizer", "tokenizer.json", text!("english.json"))],
            Self::Multilingual => &[("tokenizer", "tokenizer.json", text!("multilingual.json"))],
            Self::Turbo | Self::Nano => &[
                ("vocab", "vocab.json", text!("gpt2/vocab.json")),
                ("merges", "merges.txt", text!("gpt2/merges.txt")),
                ("added_tokens", "added_tokens.json", text!("gpt2/added_tokens.json")),
            ],
        }
    }
}

impl std::str::FromStr for Variant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "english" => Ok(Self::English),
            "multilingual" => Ok(Self::Multilingual),
            "turbo" => Ok(Self::Turbo),
            "nano" => Ok(Self::Nano),
            _ => Err(format!("`{name}` is not english, multilingual, turbo or nano")),
        }
    }
}

/// Writes a model into `folder`, which must exist; gives its files by role. Its voice `default` continues `prompt` speech tokens
/// (40 ms each).
pub fn write_model(
    folder: &Path,
    variant: Variant,
    depth: Depth,
    prompt: usize,
) -> io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut add = |role: &str, name: &str| {
        let path = folder.join(name);
        files.insert(role.to_owned(), path.clone());
        path
    };
    let s3gen = if variant.turbo() { Part::S3GenMeanflow } else { Part::S3Gen };
    write(&add("t3", "t3.safetensors"), variant.t3(), depth)?;
    write(&add("s3gen", "s3gen.safetensors"), s3gen, depth)?;
    write(&add("ve", "ve.safetensors"), Part::VoiceEncoder, depth)?;
    let heard = if variant.turbo() { 375 } else { 150 };
    write_voice(&add("conds", "conds.safetensors"), prompt.min(heard), prompt)?;
    for (role, name, bytes) in variant.tokenizer() {
        std::fs::write(add(role, name), bytes)?;
    }
    Ok(files)
}

/// Writes a voice under the names of the published `conds.pt`: T3 continues `t3_tokens` speech tokens, the flow `tokens`.
pub fn write_voice(path: &Path, t3_tokens: usize, tokens: usize) -> io::Result<()> {
    let floats = |values: Vec<f32>| values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>();
    let ids = |name: &str, count| -> Vec<u8> {
        integers(name, count, 6561).into_iter().flat_map(|id| i64::from(id).to_le_bytes()).collect()
    };
    let mut speaker = noise("voice.speaker", 256);
    let norm = speaker.iter().map(|x| x * x).sum::<f32>().sqrt();
    for x in &mut speaker {
        *x /= norm;
    }
    let mel = noise("voice.mel", 2 * tokens * 80).into_iter().map(|x| x - 5.0).collect();
    let tensors = [
        ("t3.speaker_emb", Dtype::F32, vec![1, 256], floats(speaker)),
        ("t3.cond_prompt_speech_tokens", Dtype::I64, vec![1, t3_tokens], ids("voice.t3", t3_tokens)),
        ("gen.prompt_token", Dtype::I64, vec![1, tokens], ids("voice.gen", tokens)),
        ("gen.prompt_feat", Dtype::F32, vec![1, 2 * tokens, 80], floats(mel)),
        ("gen.embedding", Dtype::F32, vec![1, 192], floats(noise("voice.xvector", 192))),
    ];
    let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).expect("invariant: bytes fit the shape"))
    });
    safetensors::serialize_to_file(views, None, path).map_err(io::Error::other)
}
