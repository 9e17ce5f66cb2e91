//! Voices in files: `conds.pt` as the reference saves it, and the same tensors as safetensors.

use super::{Conditionals, S3GenPrompt, T3Prompt};
use crate::model::{FRAMES_PER_TOKEN, MELS, SPEECH_TOKENS};
use candle_core::Device;
use safetensors::{Dtype, tensor::TensorView};
use sha2::{Digest as _, Sha256};
use std::{collections::HashMap, path::Path};
use stentor_nn::{NnError, Result, Scope, Weights};

const SPEAKER: &str = "t3.speaker_emb";
const SPEAKER_SIZE: usize = 256;
const T3_TOKENS: &str = "t3.cond_prompt_speech_tokens";
const TOKENS: &str = "gen.prompt_token";
const TOKEN_COUNT: &str = "gen.prompt_token_len";
const MEL: &str = "gen.prompt_feat";
const XVECTOR: &str = "gen.embedding";
const XVECTOR_SIZE: usize = 192;
/// No prompt is longer: forty seconds.
const MAX_TOKENS: usize = 1000;
/// Where the key of the checksum stands in the head of a safetensors file.
const SUM: &str = "sha256";

impl Conditionals {
    /// Reads a `.pt` of the reference's `Conditionals.save`, wherever its tensors lay, or a `.safetensors` with the same
    /// tensors under the same names. What else such files hold is of no use here.
    pub fn open(path: &Path) -> Result<Self> {
        let weights = Weights::open(path, &Device::Cpu)?;
        let root = weights.root();
        let fail = |message: String| NnError::Format { origin: path.display().to_string(), message };
        let speaker = root.values(SPEAKER, &[1, SPEAKER_SIZE])?;
        let t3_tokens = tokens(&root, T3_TOKENS, &fail)?;
        let mut s3gen_tokens = tokens(&root, TOKENS, &fail)?;
        if root.shape(TOKEN_COUNT).is_some() {
            let count = root.integers(TOKEN_COUNT, &[1])?[0];
            s3gen_tokens.truncate(usize::try_from(count).unwrap_or(0));
        }
        let xvector = root.values(XVECTOR, &[1, XVECTOR_SIZE])?;
        let frames = match root.shape(MEL).unwrap_or_default()[..] {
            [1, frames, MELS] if frames <= (MAX_TOKENS + 1) * FRAMES_PER_TOKEN => frames,
            // Asked for like this it is missing, or misshapen by name.
            _ => s3gen_tokens.len() * FRAMES_PER_TOKEN,
        };
        let mut mel = root.values(MEL, &[1, frames, MELS])?;
        // A recording that ends within a token leaves one frame over.
        if frames.abs_diff(s3gen_tokens.len() * FRAMES_PER_TOKEN) > FRAMES_PER_TOKEN {
            let count = s3gen_tokens.len();
            return Err(fail(format!(
                "`{MEL}` has {frames} frames for {count} tokens, which are two for each"
            )));
        }
        s3gen_tokens.truncate(frames / FRAMES_PER_TOKEN);
        mel.truncate(s3gen_tokens.len() * FRAMES_PER_TOKEN * MELS);
        if s3gen_tokens.is_empty() {
            return Err(fail(format!("`{TOKENS}` holds no token")));
        }
        for (name, values) in [(SPEAKER, &speaker), (MEL, &mel), (XVECTOR, &xvector)] {
            if !values.iter().all(|value| value.is_finite()) {
                return Err(fail(format!("`{name}` holds values that are not finite")));
            }
        }
        Ok(Self {
            t3: T3Prompt { speaker, tokens: t3_tokens },
            s3gen: S3GenPrompt { tokens: s3gen_tokens, mel, xvector },
        })
    }

    /// As safetensors that [`Conditionals::open`] and [`Conditionals::open_sealed`] read.
    pub fn to_safetensors(&self) -> Result<Vec<u8>> {
        let floats =
            |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let integers = |values: &[u32]| {
            values.iter().flat_map(|value| i64::from(*value).to_le_bytes()).collect::<Vec<u8>>()
        };
        let (t3, s3gen) = (&self.t3, &self.s3gen);
        let frames = s3gen.mel.len() / MELS;
        let tensors = [
            (SPEAKER, Dtype::F32, vec![1, t3.speaker.len()], floats(&t3.speaker)),
            (T3_TOKENS, Dtype::I64, vec![1, t3.tokens.len()], integers(&t3.tokens)),
            (TOKENS, Dtype::I64, vec![1, s3gen.tokens.len()], integers(&s3gen.tokens)),
            (MEL, Dtype::F32, vec![1, frames, MELS], floats(&s3gen.mel)),
            (XVECTOR, Dtype::F32, vec![1, s3gen.xvector.len()], floats(&s3gen.xvector)),
        ];
        let fail = |error: safetensors::SafeTensorError| NnError::Format {
            origin: "a voice".to_owned(),
            message: error.to_string(),
        };
        let views = tensors.iter().map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| (*name, view)).map_err(fail)
        });
        let views = views.collect::<Result<Vec<_>>>()?;
        // Tensors stand in an order of the format's own, so the sum goes by name.
        let metadata =
            HashMap::from([(SUM.to_owned(), sum(views.iter().map(|(name, view)| (*name, view.data()))))]);
        safetensors::serialize(views, Some(metadata)).map_err(fail)
    }

    /// Like [`Conditionals::open`], of a file of ours: one whose values have changed since is an error.
    pub fn open_sealed(path: &Path) -> Result<Self> {
        let origin = path.display().to_string();
        let fail = |message: &str| NnError::Format { origin: origin.clone(), message: message.to_owned() };
        let bytes = std::fs::read(path).map_err(|source| NnError::Io { path: path.to_owned(), source })?;
        let (_, head) =
            safetensors::SafeTensors::read_metadata(&bytes).map_err(|error| fail(&error.to_string()))?;
        let tensors =
            safetensors::SafeTensors::deserialize(&bytes).map_err(|error| fail(&error.to_string()))?;
        let tensors = tensors.tensors();
        let found = sum(tensors.iter().map(|(name, view)| (name.as_str(), view.data())));
        let noted = head.metadata().as_ref().and_then(|metadata| metadata.get(SUM));
        if noted != Some(&found) {
            return Err(fail("its checksum does not fit"));
        }
        Self::open(path)
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let floats = self.t3.speaker.len() + self.s3gen.mel.len() + self.s3gen.xvector.len();
        size_of::<Self>() + 4 * (floats + self.t3.tokens.len() + self.s3gen.tokens.len())
    }
}

/// Lower-case hex.
fn sum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for (name, bytes) in tensors {
        hash.update(name);
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    super::hex(&hash.finalize())
}

/// The tensor `name` of shape (1, n) as speech tokens.
fn tokens(root: &Scope<'_>, name: &str, fail: &dyn Fn(String) -> NnError) -> Result<Vec<u32>> {
    let count = match root.shape(name).unwrap_or_default()[..] {
        [1, count] if count <= MAX_TOKENS => count,
        // Asked for like this it is missing, or misshapen by name.
        _ => 1,
    };
    let values = root.integers(name, &[1, count])?;
    let token = |value: i64| {
        let token = u32::try_from(value).ok().filter(|token| *token < SPEECH_TOKENS);
        token.ok_or_else(|| fail(format!("`{name}` holds {value}, which is no speech token")))
    };
    values.into_iter().map(token).collect()
}
