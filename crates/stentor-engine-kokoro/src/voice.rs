//! Voices: tables of style rows, one for each length of an utterance.

use crate::Config;
use candle_core::Device;
use std::path::Path;
use stentor_engine::EngineError;
use stentor_nn::Weights;

/// Largest `.bin` that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// Style rows by number of phonemes. A single row serves every length.
#[derive(Debug, Clone, PartialEq)]
pub struct Voice {
    rows: Vec<f32>,
    width: usize,
}

impl Voice {
    /// Reads a `.pt` (a tensor saved by torch), `.bin` (little-endian f32, nothing else) or `.safetensors` (one tensor).
    ///
    /// What is unreadable or of another size is [`EngineError::Rejected`].
    pub fn open(path: &Path, config: &Config) -> Result<Self, EngineError> {
        let reject = |error: String| EngineError::Rejected(format!("voice file {}: {error}", path.display()));
        if path.extension().is_some_and(|extension| extension == "bin") {
            return Self::from_raw(path, config).map_err(reject);
        }
        let weights =
            Weights::open(path, &Device::Cpu).map_err(|error| EngineError::Rejected(error.to_string()))?;
        let mut names = weights.names();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(reject("it must hold exactly one tensor".to_owned()));
        };
        Self::from_tensor(&weights, name, config).map_err(reject)
    }

    /// One tensor of a checkpoint, `(rows, 1, width)` or `(rows, width)`; the error is a message.
    pub fn from_tensor(weights: &Weights, name: &str, config: &Config) -> Result<Self, String> {
        let shape = weights.root().shape(name).unwrap_or_default();
        let (rows, width) = match shape[..] {
            [rows, 1, width] | [rows, width] => (rows, width),
            _ => (0, 0),
        };
        check_size(rows, width, config)
            .map_err(|needed| format!("its tensor has shape {shape:?}, {needed}"))?;
        let rows = weights.root().values(name, &shape).map_err(|error| error.to_string())?;
        Self::checked(rows, width)
    }

    fn from_raw(path: &Path, config: &Config) -> Result<Self, String> {
        let (rows, width) = (config.max_phonemes(), config.voice_dim());
        let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
        if size != (rows * width * size_of::<f32>()) as u64 || size > MAX_FILE {
            return Err(format!("it has {size} bytes, {rows} x {width} little-endian f32 are needed"));
        }
        let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
        Self::checked(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(), width)
    }

    fn checked(rows: Vec<f32>, width: usize) -> Result<Self, String> {
        if rows.iter().all(|value| value.is_finite()) {
            Ok(Self { rows, width })
        } else {
            Err("it holds values that are not finite".to_owned())
        }
    }

    /// Bytes that its rows take.
    pub(crate) fn bytes(&self) -> u64 {
        size_of_val(self.rows.as_slice()) as u64
    }

    /// The row for an utterance of `phonemes` characters, counted before those that the model does not know are dropped.
    pub fn row(&self, phonemes: usize) -> &[f32] {
        let last = self.rows.len() / self.width - 1;
        &self.rows[phonemes.saturating_sub(1).min(last) * self.width..][..self.width]
    }

    /// The weighted mean of voices; there is at least one, and every weight is positive.
    pub fn blend(parts: &[(Self, f32)]) -> Result<Self, EngineError> {
        let total: f64 = parts.iter().map(|(_, weight)| f64::from(*weight)).sum();
        let usable = |weight: &f32| *weight > 0.0 && weight.is_finite();
        let Some((first, _)) = parts.first().filter(|_| parts.iter().all(|(_, weight)| usable(weight)))
        else {
            return Err(EngineError::Rejected(
                "the weights of a blend of voices must be positive".to_owned(),
            ));
        };
        let width = first.width;
        let count = parts.iter().map(|(voice, _)| voice.rows.len() / width).max().unwrap_or(0);
        let mut rows = vec![0.0; count * width];
        for (index, out) in rows.chunks_exact_mut(width).enumerate() {
            for (voice, weight) in parts {
                let share = (f64::from(*weight) / total) as f32;
                out.iter_mut().zip(voice.row(index + 1)).for_each(|(out, value)| *out += share * value);
            }
        }
        Ok(Self { rows, width })
    }
}

/// Fails with what is needed instead.
fn check_size(rows: usize, width: usize, config: &Config) -> Result<(), String> {
    let (needed_rows, needed_width) = (config.max_phonemes(), config.voice_dim());
    if width == needed_width && (rows == needed_rows || rows == 1) {
        return Ok(());
    }
    Err(format!("[{needed_rows}, 1, {needed_width}] is needed"))
}
