//! Short-time Fourier transform and its inverse, for vocoders whose frames are a few dozen samples.
//!
//! Both run on the CPU whatever the model's device: a second of audio is a few million multiplications. Frames are centred,
//! the signal is reflected at both ends and the window is a periodic Hann window, as in torch's defaults.

use crate::{
    NnError, Result, Watch,
    cpu::{Mat, TileSize, for_rows, for_tiles, math, matrix, simd, view},
    watch::tick,
};
use candle_core::{Device, Tensor};
use std::{f32::consts::FRAC_PI_2, f64::consts::TAU};

const FRAMES_PER_TILE: usize = 1024;

/// The transform for one frame size and hop.
#[derive(Debug, Clone)]
pub struct Stft {
    size: usize,
    hop: usize,
    /// Windowed cosines and sines of the first half of a frame and its centre, `[bins][size / 2 + 1]`.
    cosines: Vec<f64>,
    sines: Vec<f64>,
    /// Windowed inverse basis, `[size][2 * bins]`: real parts first, then imaginary parts.
    synthesis: Vec<f32>,
    window: Vec<f64>,
}

impl Stft {
    /// `size` is even and at least twice `hop`.
    pub fn new(size: usize, hop: usize) -> Self {
        let bins = size / 2 + 1;
        let window: Vec<f64> = (0..size).map(|n| 0.5 - 0.5 * (TAU * n as f64 / size as f64).cos()).collect();
        let angle = |bin: usize, n: usize| TAU * (bin * n % size) as f64 / size as f64;
        // Inner bins stand for their mirror images too; the two outer ones are real.
        let inner = |bin: usize| bin != 0 && bin != bins - 1;
        let table = |part: fn(f64) -> f64| {
            (0..bins * bins).map(|i| window[i % bins] * part(angle(i / bins, i % bins))).collect::<Vec<_>>()
        };
        let (cosines, mut sines) = (table(f64::cos), table(f64::sin));
        sines[..bins].fill(0.0);
        sines[(bins - 1) * bins..].fill(0.0);
        let mut synthesis = Vec::with_capacity(2 * bins * size);
        for (n, window) in window.iter().enumerate() {
            let scale = |bin: usize| window / size as f64 * if inner(bin) { 2.0 } else { 1.0 };
            synthesis.extend((0..bins).map(|bin| (scale(bin) * angle(bin, n).cos()) as f32));
            synthesis.extend(
                (0..bins)
                    .map(|bin| if inner(bin) { (-scale(bin) * angle(bin, n).sin()) as f32 } else { 0.0 }),
            );
        }
        Self { size, hop, cosines, sines, synthesis, window }
    }

    /// Frequency bins of a frame.
    pub fn bins(&self) -> usize {
        self.size / 2 + 1
    }

    /// Magnitudes, then phases in radians: `(2 * bins, 1 + len / hop)`, on the CPU. What is real
    /// has a phase of 0 or pi exactly, never -pi by rounding: the first and the last bin always, and all of the first frame,
    /// which mirrors itself. To that end each frame is folded at its centre into its even and odd parts.
    pub fn transform(&self, signal: &[f32], watch: &dyn Watch) -> Result<Tensor> {
        self.analyse(signal, watch, |real, imaginary| {
            // Neither square leaves the range of f64.
            let magnitude = (real * real + imaginary * imaginary).sqrt();
            (magnitude as f32, (imaginary as f32).atan2(real as f32))
        })
    }

    /// Real parts, then imaginary parts: `(2 * bins, 1 + len / hop)`, on the CPU.
    pub fn transform_to_parts(&self, signal: &[f32], watch: &dyn Watch) -> Result<Tensor> {
        self.analyse(signal, watch, |real, imaginary| (real as f32, imaginary as f32))
    }

    /// The first values that `pair` makes of each frame's bins, then the second ones.
    fn analyse(
        &self,
        signal: &[f32],
        watch: &dyn Watch,
        pair: impl Fn(f64, f64) -> (f32, f32) + Sync,
    ) -> Result<Tensor> {
        let (bins, half) = (self.bins(), self.size / 2);
        if signal.len() <= half {
            return Err(NnError::Tensor(candle_core::Error::Msg(
                "signal is shorter than half a frame".to_owned(),
            )));
        }
        let reflected = |i: usize| {
            let i = i as isize - half as isize;
            let last = signal.len() as isize - 1;
            let i = if i < 0 { -i } else { last - (last - i).abs() };
            f64::from(signal[i as usize])
        };
        let padded: Vec<f64> = (0..signal.len() + 2 * half).map(reflected).collect();
        let frames = 1 + signal.len() / self.hop;
        let pairs = for_rows(frames, 2 * bins, watch, |frame, out| {
            let samples = &padded[frame * self.hop..][..self.size];
            // The window is zero at a frame's first sample, which has no mirror image.
            let mirrored = |n: usize| samples[(self.size - n) % self.size];
            let mut even: Vec<f64> = (0..bins).map(|n| samples[n] + mirrored(n)).collect();
            let odd: Vec<f64> = (0..bins).map(|n| samples[n] - mirrored(n)).collect();
            even[half] = samples[half];
            let (first, second) = out.split_at_mut(bins);
            for bin in 0..bins {
                let real = dot(&even, &self.cosines[bin * bins..][..bins]);
                let imaginary = 0.0 - dot(&odd, &self.sines[bin * bins..][..bins]);
                (first[bin], second[bin]) = pair(real, imaginary);
            }
        })?;
        Ok(matrix(pairs, frames, 2 * bins)?.t()?.contiguous()?)
    }

    /// The signal of (frames - 1) * hop samples whose spectrum has magnitudes e^m, `largest` at most, and phases sin(p), given
    /// the rows `(2 * bins, frames)`: first every m, then every p.
    pub fn inverse_of_log_magnitude_and_sine(
        &self,
        spectrum: &Tensor,
        largest: f32,
        watch: &dyn Watch,
    ) -> Result<Vec<f32>> {
        let (bins, frames) = (self.bins(), spectrum.dims2()?.1);
        let spectrum = spectrum.to_device(&Device::Cpu)?.contiguous()?;
        let values = view(&spectrum)?;
        let parts = for_rows(2 * bins, frames, watch, |row, out| {
            let bin = row % bins;
            let (log, sine) = (&values[bin * frames..][..frames], &values[(bins + bin) * frames..][..frames]);
            polar(log, sine, largest, if row < bins { FRAC_PI_2 } else { 0.0 }, out);
        })?;
        self.inverse(&parts, frames, watch)
    }

    /// Overlap-add of the frames whose real and imaginary parts are the rows of `parts`, `[2 * bins][frames]`.
    fn inverse(&self, parts: &[f32], frames: usize, watch: &dyn Watch) -> Result<Vec<f32>> {
        let depth = 2 * self.bins();
        let tile_size = TileSize { rows: self.size, cols: FRAMES_PER_TILE };
        let samples = for_tiles(self.size, frames, tile_size, watch, |tile| {
            let lhs =
                Mat { data: &self.synthesis[tile.rows.start * depth..], row_stride: depth, col_stride: 1 };
            let rhs = Mat { data: &parts[tile.cols.start..], row_stride: frames, col_stride: 1 };
            tile.add_product(tile.cols.clone(), depth, lhs, rhs);
        })?;
        let half = self.size / 2;
        let mut sum = vec![0.0f32; (frames - 1) * self.hop + self.size];
        let mut envelope = vec![0.0f32; sum.len()];
        for n in 0..self.size {
            let squared = (self.window[n] * self.window[n]) as f32;
            let targets = sum[n..].iter_mut().zip(&mut envelope[n..]).step_by(self.hop);
            for ((sum, envelope), sample) in targets.zip(&samples[n * frames..][..frames]) {
                *sum += sample;
                *envelope += squared;
            }
        }
        tick(watch)?;
        let kept = half..sum.len() - half;
        Ok(sum[kept.clone()].iter().zip(&envelope[kept]).map(|(sum, envelope)| sum / envelope).collect())
    }
}

simd! {
    /// The sine of `turn` and of what is a phase's sine, times e^log, which is `largest` at most.
    fn polar(log: &[f32], sine: &[f32], largest: f32, turn: f32, out: &mut [f32]) {
        for ((out, log), sine) in out.iter_mut().zip(log).zip(sine) {
            *out = math::exp::<FMA>(*log).min(largest) * math::sin::<FMA>(math::sin::<FMA>(*sine) + turn);
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Unwatched;

    /// Audible test signals: a sum of sines, loud at both ends.
    fn signal(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i as f32 * 0.37).cos() + 0.3 * (i as f32 * 1.9).sin() + 0.1).collect()
    }

    #[test]
    fn the_inverse_of_the_transform_is_the_signal() {
        for (size, hop) in [(20, 5), (40, 10)] {
            let stft = Stft::new(size, hop);
            let signal = signal(600);
            let spectrum = stft.transform(&signal, &Unwatched).unwrap();
            assert_eq!(spectrum.dims(), [2 * stft.bins(), 1 + 600 / hop]);
            let rows = spectrum.to_vec2::<f32>().unwrap();
            let bins = stft.bins();
            let mut parts = Vec::new();
            for part in [f32::cos as fn(f32) -> f32, f32::sin] {
                for bin in 0..bins {
                    parts.extend(rows[bin].iter().zip(&rows[bins + bin]).map(|(m, p)| m * part(*p)));
                }
            }
            let back = stft.inverse(&parts, 1 + 600 / hop, &Unwatched).unwrap();
            assert_eq!(back.len(), signal.len());
            for (index, (a, b)) in signal.iter().zip(&back).enumerate() {
                assert!((a - b).abs() < 1e-5, "sample {index} of size {size}: {a} became {b}");
            }
        }
    }

    #[test]
    fn what_is_real_has_phase_zero_or_pi() {
        let stft = Stft::new(20, 5);
        let rows = stft.transform(&signal(2000), &Unwatched).unwrap().to_vec2::<f32>().unwrap();
        let (mut zeros, mut pis) = (0, 0);
        for (bin, row) in rows[stft.bins()..].iter().enumerate() {
            let real = if bin == 0 || bin == 10 { &row[..] } else { &row[..1] };
            for &phase in real {
                let bits = [0.0, std::f32::consts::PI].map(f32::to_bits);
                assert!(bits.contains(&phase.to_bits()), "{phase}");
                if phase == 0.0 { zeros += 1 } else { pis += 1 }
            }
        }
        assert!(zeros > 20 && pis > 20, "both signs occur: {zeros} {pis}");
    }
}
