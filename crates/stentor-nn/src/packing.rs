//! Several sequences side by side in one tensor, so that one op serves them all.
//!
//! Convolutions and pointwise layers need not know: each sequence is followed by columns that are nobody's, and as long as those
//! are zero where a convolution reads them, they are the padding that it would see at the end of a sequence alone. Only what
//! looks along all of a sequence (norms, recurrences, attention) has to know where it ends.

use crate::Result;
use candle_core::{Device, Tensor};

/// Where each of several sequences lies in a `(channels, columns)` tensor.
#[derive(Debug, Clone)]
pub struct Packing {
    lens: Vec<usize>,
    /// Columns from one sequence's beginning to the next one's.
    pitch: usize,
    /// `(1, columns)`: one where a column is somebody's, else zero. A sequence alone has none.
    mask: Option<Tensor>,
    /// The lengths where kernels of a card read them, once one has asked.
    #[cfg(feature = "cuda")]
    on_card: std::sync::OnceLock<Tensor>,
}

impl Packing {
    /// A sequence alone: all columns are its own.
    pub fn alone(len: usize) -> Self {
        Self::with_mask(vec![len], len, None)
    }

    /// Sequences of these lengths, with at least `gap` columns between them. One is alone.
    pub fn new(lens: &[usize], gap: usize, device: &Device) -> Result<Self> {
        // Phases of tiles, and so every bit of a sequence, are as if it were alone.
        const PHASES: usize = 4;
        let pitch = (lens.iter().max().copied().unwrap_or(0) + gap).next_multiple_of(PHASES);
        Self::with_pitch(lens.to_vec(), pitch, device)
    }

    fn with_pitch(lens: Vec<usize>, pitch: usize, device: &Device) -> Result<Self> {
        if let [len] = lens[..] {
            return Ok(Self::alone(len));
        }
        let columns = lens.iter().flat_map(|&len| (0..pitch).map(move |at| if at < len { 1.0 } else { 0.0 }));
        let mask = Tensor::from_vec(columns.collect::<Vec<f32>>(), (1, lens.len() * pitch), device)?;
        Ok(Self::with_mask(lens, pitch, Some(mask)))
    }

    fn with_mask(lens: Vec<usize>, pitch: usize, mask: Option<Tensor>) -> Self {
        Self {
            lens,
            pitch,
            mask,
            #[cfg(feature = "cuda")]
            on_card: std::sync::OnceLock::new(),
        }
    }

    /// The lengths on a card, which all layers share that this packing goes through.
    #[cfg(feature = "cuda")]
    pub(crate) fn lens_on(&self, card: &Device) -> Result<Tensor> {
        if let Some(lens) = self.on_card.get().filter(|lens| lens.device().same_device(card)) {
            return Ok(lens.clone());
        }
        let lens: Vec<u32> = self.lens.iter().map(|&len| len as u32).collect();
        let lens = Tensor::new(lens, card)?;
        Ok(self.on_card.get_or_init(|| lens.clone()).clone())
    }

    /// After an upsampling of all columns by `factor`, where each sequence has `more` columns beside.
    pub fn stretched(&self, factor: usize, more: usize) -> Result<Self> {
        let lens = self.lens.iter().map(|len| len * factor + more).collect();
        let device = self.mask.as_ref().map_or(&Device::Cpu, Tensor::device);
        Self::with_pitch(lens, self.pitch * factor, device)
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        self.lens.len()
    }

    pub(crate) fn lens(&self) -> &[usize] {
        &self.lens
    }

    pub(crate) fn pitch(&self) -> usize {
        self.pitch
    }

    /// `(1, sequences, pitch)`, where there are several.
    pub(crate) fn mask(&self) -> Result<Option<Tensor>> {
        let shape = (1, self.count(), self.pitch);
        Ok(self.mask.as_ref().map(|mask| mask.reshape(shape)).transpose()?)
    }

    /// Puts sequences `(channels, len)` in their places.
    pub fn pack(&self, sequences: &[Tensor]) -> Result<Tensor> {
        if let [alone] = sequences {
            return Ok(alone.clone());
        }
        let padded =
            sequences.iter().zip(&self.lens).map(|(x, len)| x.pad_with_zeros(1, 0, self.pitch - len));
        Ok(Tensor::cat(&padded.collect::<candle_core::Result<Vec<_>>>()?, 1)?.contiguous()?)
    }

    /// The sequences, each `(channels, len)`.
    pub fn unpack(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        if self.mask.is_none() {
            return Ok(vec![x.clone()]);
        }
        let cut = |(index, &len): (usize, &usize)| Ok(x.narrow(1, index * self.pitch, len)?.contiguous()?);
        self.lens.iter().enumerate().map(cut).collect()
    }

    /// Rows `(sum of lengths, channels)`, sequence after sequence, to packed columns.
    pub fn columns_of_rows(&self, rows: &Tensor) -> Result<Tensor> {
        let sequences = split_rows(rows, &self.lens)?;
        let turned = sequences.iter().map(|x| Ok(x.t()?.contiguous()?)).collect::<Result<Vec<_>>>()?;
        self.pack(&turned)
    }

    /// And back.
    pub fn rows_of_columns(&self, columns: &Tensor) -> Result<Tensor> {
        let turned =
            self.unpack(columns)?.iter().map(|x| Ok(x.t()?.contiguous()?)).collect::<Result<Vec<_>>>()?;
        join_rows(turned)
    }

    /// Zeroes the columns that are nobody's, which a convolution is about to read.
    pub fn clear_gaps(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.mask.as_ref().map_or_else(|| Ok(x.clone()), |mask| x.broadcast_mul(mask))?)
    }

    /// Begins each sequence with a copy of its second column: torch's `ReflectionPad1d((1, 0))`.
    pub fn reflect_left(&self, x: &Tensor) -> Result<Tensor> {
        let (channels, columns) = x.dims2()?;
        let x = x.reshape((channels, self.count(), columns / self.count()))?;
        // Packed, the last column of each is nobody's and makes room.
        let kept = columns / self.count() - usize::from(self.mask.is_some());
        let longer = Tensor::cat(&[&x.narrow(2, 1, 1)?, &x.narrow(2, 0, kept)?], 2)?;
        Ok(longer.flatten_from(1)?.contiguous()?)
    }
}

/// Parts rows into stretches of these lengths.
pub(crate) fn split_rows(rows: &Tensor, lens: &[usize]) -> Result<Vec<Tensor>> {
    let mut start = 0;
    let mut next = |&len: &usize| {
        let stretch = rows.narrow(0, start, len)?;
        start += len;
        Ok(stretch)
    };
    lens.iter().map(&mut next).collect()
}

pub(crate) fn join_rows(mut stretches: Vec<Tensor>) -> Result<Tensor> {
    if stretches.len() == 1 {
        return Ok(stretches.remove(0));
    }
    Ok(Tensor::cat(&stretches, 0)?)
}

/// Applies `work` to each stretch of rows by itself.
pub fn for_each_stretch(
    rows: &Tensor,
    lens: &[usize],
    mut work: impl FnMut(usize, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let stretches = split_rows(rows, lens)?;
    join_rows(stretches.iter().enumerate().map(|(index, x)| work(index, x)).collect::<Result<_>>()?)
}
