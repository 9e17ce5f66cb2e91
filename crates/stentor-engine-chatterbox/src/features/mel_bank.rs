//! Triangular filters that are even on one of the two mel scales in use here: Slaney's and Kaldi's.

/// The filters of one bank, each from its first bin that is not zero.
pub(super) struct MelBank {
    filters: Vec<(usize, Vec<f64>)>,
}

impl MelBank {
    /// Slaney's scale, linear up to 1 kHz, from 0 to `top` hertz; every filter's area is the same. `size` is that of the
    /// transform of a signal at `rate` hertz.
    pub(super) fn slaney(rate: f64, size: usize, mels: usize, top: f64) -> Self {
        let last = slaney_mel(top);
        let edge = |i: usize| slaney_hertz(last * i as f64 / (mels + 1) as f64);
        let filter = |mel: usize| {
            let (left, centre, right) = (edge(mel), edge(mel + 1), edge(mel + 2));
            let value = |bin: usize| {
                let hertz = bin as f64 * rate / size as f64;
                let slope = ((hertz - left) / (centre - left)).min((right - hertz) / (right - centre));
                // Single precision, as the filters are stored beside the networks.
                f64::from((slope.max(0.0) * 2.0 / (right - left)) as f32)
            };
            trimmed(&(0..=size / 2).map(value).collect::<Vec<_>>())
        };
        Self { filters: (0..mels).map(filter).collect() }
    }

    /// Kaldi's scale from 20 Hz to the highest frequency; triangles are straight on that scale and peak at 1. The last bin of the
    /// transform has no part in any.
    pub(super) fn kaldi(rate: f64, size: usize, mels: usize) -> Self {
        let (low, high) = (kaldi_mel(20.0), kaldi_mel(rate / 2.0));
        let step = (high - low) / (mels + 1) as f64;
        let filter = |mel: usize| {
            let left = low + mel as f64 * step;
            let value = |bin: usize| {
                let distance = (kaldi_mel(bin as f64 * rate / size as f64) - left) / step;
                distance.min(2.0 - distance).max(0.0)
            };
            trimmed(&(0..size / 2).map(value).collect::<Vec<_>>())
        };
        Self { filters: (0..mels).map(filter).collect() }
    }

    /// What each filter lets through of a spectrum.
    pub(super) fn apply<'a>(&'a self, spectrum: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        self.filters.iter().map(|(first, weights)| {
            spectrum[*first..].iter().zip(weights).map(|(power, weight)| power * weight).sum()
        })
    }

    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }
}

/// Where a filter begins, and its values from there to its end.
fn trimmed(values: &[f64]) -> (usize, Vec<f64>) {
    let first = values.iter().position(|&value| value > 0.0).unwrap_or_default();
    let end = values.iter().rposition(|&value| value > 0.0).map_or(first, |last| last + 1);
    (first, values[first..end].to_vec())
}

const SLANEY_LINEAR: f64 = 200.0 / 3.0;
const SLANEY_KNEE: f64 = 1000.0;

/// Above the knee a mel is this much of a natural logarithm: 27 of them are a factor of 6.4.
fn slaney_log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn slaney_mel(hertz: f64) -> f64 {
    if hertz < SLANEY_KNEE {
        hertz / SLANEY_LINEAR
    } else {
        SLANEY_KNEE / SLANEY_LINEAR + (hertz / SLANEY_KNEE).ln() / slaney_log_step()
    }
}

fn slaney_hertz(mel: f64) -> f64 {
    let knee = SLANEY_KNEE / SLANEY_LINEAR;
    if mel < knee { mel * SLANEY_LINEAR } else { SLANEY_KNEE * ((mel - knee) * slaney_log_step()).exp() }
}

fn kaldi_mel(hertz: f64) -> f64 {
    1127.0 * (hertz / 700.0).ln_1p()
}
