//! A clean recording to everything that the networks are conditioned on, as each family was trained.

use super::{Conditionals, S3GenPrompt, T3Prompt};
use crate::{
    features::{normalize_loudness, resample_hq, resample_sinc_hann, s3gen_mel},
    model::{
        FRAMES_PER_TOKEN, SAMPLE_RATE, SAMPLES_PER_TOKEN, campplus::CamPPlus, s3_tokenizer::S3Tokenizer,
        t3::Family, voice_encoder::VoiceEncoder,
    },
};
use stentor_nn::{Result, Watch, Weights};

/// What the networks that listen want, in hertz.
const LISTENING_RATE: u32 = 16_000;
/// Seconds of the recording that the flow continues.
const S3GEN_SECONDS: usize = 10;

/// Seconds of the recording's beginning that T3 continues.
const fn t3_seconds(family: Family) -> usize {
    match family {
        Family::English | Family::Multilingual => 6,
        Family::Turbo => 15,
    }
}

/// Most speech tokens of what T3 continues.
pub(crate) const fn prompt_tokens(family: Family) -> usize {
    t3_seconds(family) * SAMPLE_RATE as usize / SAMPLES_PER_TOKEN
}

/// The networks that see a recording, on the CPU whatever device speaks.
pub struct Encoders {
    pub voice_encoder: VoiceEncoder,
    pub tokenizer: S3Tokenizer,
    pub campplus: CamPPlus,
}

impl Encoders {
    /// Reads `ve.*` and the parts of `s3gen.*` under `tokenizer.` and `speaker_encoder.`, both opened on the CPU. A tensor
    /// of these parts that nothing uses is an error. Half a gigabyte is read, which `watch` may end.
    pub fn load(voice_encoder: &Weights, s3gen: &Weights, watch: &dyn Watch) -> Result<Self> {
        let root = s3gen.root();
        let encoders = Self {
            voice_encoder: VoiceEncoder::load(voice_encoder)?,
            tokenizer: S3Tokenizer::load(&root, watch)?,
            campplus: CamPPlus::load(&root)?,
        };
        s3gen.expect_all_used(is_no_encoders)?;
        Ok(encoders)
    }

    /// What `family` is conditioned on to speak like `samples`: mono at 24 kHz, a second or more; what lies beyond the first 15
    /// seconds is seen by the voice encoder alone.
    pub fn encode(&self, samples: &[f32], family: Family, watch: &dyn Watch) -> Result<Conditionals> {
        let mut samples = samples.to_vec();
        if family == Family::Turbo {
            normalize_loudness(&mut samples, SAMPLE_RATE);
        }
        let heard = resample_hq(&samples, SAMPLE_RATE, LISTENING_RATE, watch)?;
        let (seconds, max) = (t3_seconds(family), prompt_tokens(family));
        let tokens = self.tokenizer.tokenize(first(&heard, seconds, LISTENING_RATE), max, watch)?;
        let speaker = self.voice_encoder.embed(&heard, watch)?;
        let s3gen = self.s3gen_prompt(first(&samples, S3GEN_SECONDS, SAMPLE_RATE), watch)?;
        Ok(Conditionals { t3: T3Prompt { speaker, tokens }, s3gen })
    }

    /// What the flow continues, of at most ten seconds at 24 kHz. It hears them through another resampler than T3. Where the
    /// recording ends within a token, that token and its frames are left out.
    pub fn s3gen_prompt(&self, samples: &[f32], watch: &dyn Watch) -> Result<S3GenPrompt> {
        let mut mel = s3gen_mel(samples)?;
        let heard = resample_sinc_hann(samples, SAMPLE_RATE, LISTENING_RATE, watch)?;
        let mut tokens = self.tokenizer.tokenize(&heard, usize::MAX, watch)?;
        tokens.truncate(mel.frames() / FRAMES_PER_TOKEN);
        mel.truncate(tokens.len() * FRAMES_PER_TOKEN);
        Ok(S3GenPrompt { tokens, mel: mel.values, xvector: self.campplus.embed(&heard, watch)? })
    }
}

/// The beginning of a recording.
fn first(samples: &[f32], seconds: usize, rate: u32) -> &[f32] {
    &samples[..samples.len().min(seconds * rate as usize)]
}

/// Tensors of other parts, and those that are computed or kept for training only.
fn is_no_encoders(name: &str) -> bool {
    const COMPUTED: [&str; 3] = ["_mel_filters", "window", "num_batches_tracked"];
    let encoders = name.starts_with("tokenizer.") || name.starts_with("speaker_encoder.");
    !encoders || COMPUTED.iter().any(|end| name.ends_with(end))
}
