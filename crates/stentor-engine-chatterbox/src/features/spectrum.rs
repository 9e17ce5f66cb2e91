//! Windowed Fourier transforms of the frames of a signal.

use rustfft::{Fft, FftPlanner, num_complex::Complex};
use std::{f64::consts::TAU, sync::Arc};

/// The transform of frames of one length, zero-padded to one size.
pub(super) struct Spectrum {
    window: Vec<f64>,
    hop: usize,
    size: usize,
    fft: Arc<dyn Fft<f64>>,
}

impl Spectrum {
    /// Frames as long as `window`, every `hop` samples, transformed at `size` points.
    pub(super) fn new(window: Vec<f64>, hop: usize, size: usize) -> Self {
        Self { window, hop, size, fft: FftPlanner::new().plan_fft_forward(size) }
    }

    /// Frames that lie in a signal of `len` samples as a whole.
    pub(super) fn frames(&self, len: usize) -> usize {
        len.checked_sub(self.window.len()).map_or(0, |rest| rest / self.hop + 1)
    }

    /// Calls `each` with the power of the `size / 2 + 1` bins of every frame, in order. `prepare` may change a frame before it
    /// is windowed.
    pub(super) fn for_each(
        &self,
        signal: &[f32],
        prepare: impl Fn(&mut [f64]),
        mut each: impl FnMut(&[f64]),
    ) {
        let mut frame = vec![0.0; self.window.len()];
        let mut points = vec![Complex::default(); self.size];
        let mut scratch = vec![Complex::default(); self.fft.get_inplace_scratch_len()];
        let mut power = vec![0.0; self.size / 2 + 1];
        for index in 0..self.frames(signal.len()) {
            for (out, &x) in frame.iter_mut().zip(&signal[index * self.hop..]) {
                *out = f64::from(x);
            }
            prepare(&mut frame);
            points.fill(Complex::default());
            for ((point, x), window) in points.iter_mut().zip(&frame).zip(&self.window) {
                point.re = x * window;
            }
            self.fft.process_with_scratch(&mut points, &mut scratch);
            for (power, point) in power.iter_mut().zip(&points) {
                *power = point.norm_sqr();
            }
            each(&power);
        }
    }
}

/// A periodic Hann window.
pub(super) fn hann(len: usize) -> Vec<f64> {
    (0..len).map(|n| 0.5 - 0.5 * (TAU * n as f64 / len as f64).cos()).collect()
}

/// `signal` with `pad` samples mirrored at both ends, without repeating the end itself. The signal is longer than `pad`.
pub(super) fn reflect(signal: &[f32], pad: usize) -> Vec<f32> {
    let before = signal[1..=pad].iter().rev();
    let after = signal[signal.len() - 1 - pad..signal.len() - 1].iter().rev();
    before.chain(signal).chain(after).copied().collect()
}
