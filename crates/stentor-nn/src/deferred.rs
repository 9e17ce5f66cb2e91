//! A norm and an activation that wait for whoever reads what they give.
//!
//! A vocoder's activations are far larger than any cache. A convolution that copies its input anyway normalises and activates it on the
//! way, so that nobody writes and reads it once more.

use crate::{
    Activation, Packing, Result, Watch,
    activation::Ready,
    cpu::{for_new_rows, is_cpu, matrix, view, written, zeroed},
};
use candle_core::Tensor;
use std::mem::MaybeUninit;

/// A tensor `(channels, columns)` of packed sequences, of which each is still to be scaled, shifted and activated.
pub struct Deferred<'a> {
    pub(crate) x: Tensor,
    /// Nothing where `x` is finished.
    pub(crate) rest: Option<Rest<'a>>,
}

/// What is still to be done.
pub(crate) struct Rest<'a> {
    activation: Activation<'a>,
    packing: &'a Packing,
    /// Scale and shift of each channel of each sequence, `(channels, sequences, 2)`; one and zero if there are none.
    affine: Option<Vec<f32>>,
}

impl<'a> Deferred<'a> {
    pub(crate) fn finished(x: Tensor) -> Self {
        Self { x, rest: None }
    }

    /// `affine` is `(channels, sequences, 2)`: scale, then shift.
    pub(crate) fn normal(
        x: Tensor,
        affine: Vec<f32>,
        (activation, packing): (Activation<'a>, &'a Packing),
    ) -> Self {
        Self { x, rest: Some(Rest { activation, packing, affine: Some(affine) }) }
    }

    /// What [`crate::activate_packed`] gives of `x`, and when: on the CPU not before it is read.
    pub fn active(
        x: Tensor,
        activation: Activation<'a>,
        packing: &'a Packing,
        watch: &dyn Watch,
    ) -> Result<Self> {
        if is_cpu(&x) {
            return Ok(Self { x, rest: Some(Rest { activation, packing, affine: None }) });
        }
        Ok(Self::finished(crate::activate_packed(&x, activation, packing, watch)?))
    }

    /// The finished tensor, with zeros between sequences.
    pub fn finish(self, watch: &dyn Watch) -> Result<Tensor> {
        let Some(rest) = self.rest else { return Ok(self.x) };
        let (rows, cols) = self.x.dims2()?;
        let (values, rest) = (view(&self.x)?, rest.ready(cols)?);
        let out = for_new_rows(rows, cols, watch, |row, out| {
            rest.write((row, 0), &values[row * cols..][..cols], out)
        })?;
        matrix(out, rows, cols)
    }
}

impl Rest<'_> {
    /// With everything at hand as numbers, for rows of so many columns.
    pub(crate) fn ready(&self, cols: usize) -> Result<Finish<'_>> {
        let (pitch, lens) = (self.packing.pitch(), self.packing.lens());
        assert_eq!(lens.len() * pitch, cols, "columns of the packing");
        Ok(Finish { activation: self.activation.ready()?, affine: self.affine.as_deref(), pitch, lens })
    }
}

/// What makes numbers of a [`Deferred`] final.
pub(crate) struct Finish<'a> {
    activation: Ready<'a>,
    affine: Option<&'a [f32]>,
    pitch: usize,
    lens: &'a [usize],
}

impl Finish<'_> {
    /// The columns of a channel from one on, of which `x` are as they stand, written to `out`, which is as long and is returned.
    pub(crate) fn write<'a>(
        &self,
        (channel, first): (usize, usize),
        x: &[f32],
        out: &'a mut [MaybeUninit<f32>],
    ) -> &'a mut [f32] {
        assert_eq!(x.len(), out.len(), "lengths");
        let mut at = 0;
        while at < x.len() {
            let (sequence, within) = ((first + at) / self.pitch, (first + at) % self.pitch);
            let all = (self.pitch - within).min(x.len() - at);
            let own = self.lens[sequence].saturating_sub(within).min(all);
            let (out, gap) = out[at..at + all].split_at_mut(own);
            let place = 2 * (channel * self.lens.len() + sequence);
            let affine = self.affine.map_or((1.0, 0.0), |affine| (affine[place], affine[place + 1]));
            self.activation.modulate(channel, affine, &x[at..at + own], out);
            zeroed(gap);
            at += all;
        }
        #[expect(unsafe_code, reason = "nothing but this knows")]
        // SAFETY: sequences and their gaps are all of it.
        unsafe {
            written(out)
        }
    }
}
