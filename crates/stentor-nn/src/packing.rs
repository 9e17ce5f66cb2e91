//! Several sequences side by side in one tensor, so that one op serves them all.
//!
//! Convolutions and pointwise layers need not know: each sequence is followed by columns (or rows) that are nobody's, and as long as
//! those are zero where a convolution reads them, they are the padding that it would see at the end of a sequence alone. Only what
//! looks along all of a sequence (norms, recurrences, attention) has to know where it ends.

use crate::{Result, cpu::MOST_OUTPUTS};
use candle_core::{Device, Tensor};
use std::sync::OnceLock;

/// Added to what is to have no weight in a softmax.
const BARRED: f32 = -1e30;

/// Where each of several sequences lies in a `(channels, columns)` or a `(rows, channels)` tensor.
#[derive(Debug, Clone)]
pub struct Packing {
    lens: Vec<usize>,
    /// Columns from one sequence's beginning to the next one's.
    pitch: usize,
    /// Where its tensors are. A sequence alone needs none: no column is nobody's.
    device: Option<Device>,
    /// Once somebody has asked.
    owned: OnceLock<Owned>,
    /// The lengths where kernels of a card read them, once one has asked.
    #[cfg(feature = "cuda")]
    on_card: OnceLock<Tensor>,
}

/// Which columns are somebody's, each as `(columns)`.
#[derive(Debug, Clone)]
struct Owned {
    /// One, else zero.
    share: Tensor,
    /// The same as whole numbers.
    flag: Tensor,
    /// Zero, else [`BARRED`].
    barrier: Tensor,
}

impl Packing {
    /// A sequence alone: all columns are its own.
    pub fn alone(len: usize) -> Self {
        Self::with_pitch(vec![len], len, None)
    }

    /// A sequence alone in `room` columns, of which those behind it are nobody's.
    pub fn padded(len: usize, room: usize, device: &Device) -> Self {
        Self::with_pitch(vec![len], room, Some(device.clone()))
    }

    /// Sequences of these lengths, with at least `gap` columns between them. One is alone.
    pub fn new(lens: &[usize], gap: usize, device: &Device) -> Self {
        if let [len] = *lens {
            return Self::alone(len);
        }
        // On the CPU, phases of tiles, and so every bit of a sequence, are as if it were alone; a card's kernels have no such tiles, but
        // some read four columns at once.
        let phases = if device.is_cpu() { MOST_OUTPUTS } else { 4 };
        let pitch = (lens.iter().max().copied().unwrap_or(0) + gap).next_multiple_of(phases);
        Self::with_pitch(lens.to_vec(), pitch, Some(device.clone()))
    }

    fn with_pitch(lens: Vec<usize>, pitch: usize, device: Option<Device>) -> Self {
        Self {
            lens,
            pitch,
            device,
            owned: OnceLock::new(),
            #[cfg(feature = "cuda")]
            on_card: OnceLock::new(),
        }
    }

    /// Which columns are somebody's, where there are gaps.
    fn owned(&self) -> Result<Option<&Owned>> {
        let Some(device) = &self.device else { return Ok(None) };
        if self.owned.get().is_none() {
            let flags = self.lens.iter().flat_map(|&len| (0..self.pitch).map(move |at| u8::from(at < len)));
            let flags: Vec<u8> = flags.collect();
            let numbers = |of: fn(u8) -> f32| {
                let numbers: Vec<f32> = flags.iter().map(|&flag| of(flag)).collect();
                Tensor::from_vec(numbers, flags.len(), device)
            };
            let owned = Owned {
                share: numbers(f32::from)?,
                barrier: numbers(|flag| if flag > 0 { 0.0 } else { BARRED })?,
                flag: Tensor::from_slice(&flags, flags.len(), device)?,
            };
            let _ = self.owned.set(owned);
        }
        Ok(self.owned.get())
    }

    /// The lengths on a card, which all layers share that this packing goes through.
    #[cfg(feature = "cuda")]
    pub(crate) fn lens_on(&self, card: &Device) -> Result<Tensor> {
        if let Some(lens) = self.on_card.get().filter(|lens| lens.device().same_device(card)) {
            return Ok(lens.clone());
        }
        let lens: Vec<u32> = self.lens.iter().map(|&len| len as u32).collect();
        let lens = Tensor::new(lens, card)?;
        // If another card's are kept, these are for once.
        let _ = self.on_card.set(lens.clone());
        Ok(lens)
    }

    /// The same with its lengths, `(sequences)` of 32 bits, read where the caller keeps them: a recording of a card's work then goes on
    /// with what stands there when it is replayed. Elsewhere nothing reads them.
    #[must_use]
    #[cfg_attr(not(feature = "cuda"), expect(unused_variables, reason = "only a card reads lengths"))]
    pub fn with_lens(&self, lens: &Tensor) -> Self {
        let packing = Self::with_pitch(self.lens.clone(), self.pitch, self.device.clone());
        #[cfg(feature = "cuda")]
        let _ = packing.on_card.set(lens.clone());
        packing
    }

    /// Whether columns are nobody's.
    pub fn has_gaps(&self) -> bool {
        self.device.is_some()
    }

    /// After an upsampling of all columns by `factor`, where each sequence has `more` columns beside.
    #[must_use]
    pub fn stretched(&self, factor: usize, more: usize) -> Self {
        let lens: Vec<usize> = self.lens.iter().map(|len| len * factor + more).collect();
        match (&self.device, &lens[..]) {
            (None, [len]) => Self::alone(*len),
            (device, _) => Self::with_pitch(lens, self.pitch * factor, device.clone()),
        }
    }

    /// The first `count` sequences, in the columns that they have here.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        Self::with_pitch(self.lens[..count].to_vec(), self.pitch, self.device.clone())
    }

    /// Number of sequences.
    pub fn count(&self) -> usize {
        self.lens.len()
    }

    /// The length of each sequence.
    pub fn lens(&self) -> &[usize] {
        &self.lens
    }

    /// Columns from one sequence's beginning to the next one's.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// `(1, sequences, pitch)`, where there are gaps: one where a column is somebody's, else zero.
    pub(crate) fn mask(&self) -> Result<Option<Tensor>> {
        let shape = (1, self.count(), self.pitch);
        Ok(self.owned()?.map(|owned| owned.share.reshape(shape)).transpose()?)
    }

    /// `(sequences, 1, pitch)`, where there are gaps: zero where a column is somebody's, else as good as minus infinity.
    pub(crate) fn barrier(&self) -> Result<Option<Tensor>> {
        let shape = (self.count(), 1, self.pitch);
        Ok(self.owned()?.map(|owned| owned.barrier.reshape(shape)).transpose()?)
    }

    /// Puts sequences `(channels, len)` in their places.
    pub fn pack(&self, sequences: &[Tensor]) -> Result<Tensor> {
        self.put(sequences, 1)
    }

    /// Puts sequences `(len, channels)` in their places, which are rows then.
    pub fn pack_rows(&self, sequences: &[Tensor]) -> Result<Tensor> {
        self.put(sequences, 0)
    }

    fn put(&self, sequences: &[Tensor], dim: usize) -> Result<Tensor> {
        if let ([alone], false) = (sequences, self.has_gaps()) {
            return Ok(alone.clone());
        }
        let padded =
            sequences.iter().zip(&self.lens).map(|(x, len)| x.pad_with_zeros(dim, 0, self.pitch - len));
        Ok(Tensor::cat(&padded.collect::<candle_core::Result<Vec<_>>>()?, dim)?.contiguous()?)
    }

    /// The sequences, each `(channels, len)`.
    pub fn unpack(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.cut(x, 1)
    }

    /// The sequences of packed rows, each `(len, channels)`.
    pub fn unpack_rows(&self, x: &Tensor) -> Result<Vec<Tensor>> {
        self.cut(x, 0)
    }

    fn cut(&self, x: &Tensor, dim: usize) -> Result<Vec<Tensor>> {
        if !self.has_gaps() {
            return Ok(vec![x.clone()]);
        }
        let cut =
            |(index, &len): (usize, &usize)| Ok(x.narrow(dim, index * self.pitch, len)?.contiguous()?);
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

    /// Zeroes the columns that are nobody's, which a convolution is about to read, whatever they hold.
    pub fn clear_gaps(&self, x: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if self.is_for_card(x) {
            return crate::card::activate(x, crate::Activation::Identity, Some(self));
        }
        self.cleared(x, |columns| (1, columns))
    }

    /// Zeroes the rows that are nobody's, which a convolution is about to read, whatever they hold.
    pub fn clear_row_gaps(&self, x: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if self.is_for_card(x) {
            return crate::card::clear_rows(x, self);
        }
        self.cleared(x, |rows| (rows, 1))
    }

    /// Whether there are gaps, in what a card's kernels clear.
    #[cfg(feature = "cuda")]
    fn is_for_card(&self, x: &Tensor) -> bool {
        self.has_gaps() && x.device().is_cuda() && x.dtype() == candle_core::DType::F32
    }

    /// Chosen, not multiplied: what is not a number in one sequence must stay its own.
    fn cleared(&self, x: &Tensor, shape: fn(usize) -> (usize, usize)) -> Result<Tensor> {
        let Some(owned) = self.owned()? else { return Ok(x.clone()) };
        let flags = owned.flag.reshape(shape(self.count() * self.pitch))?.broadcast_as(x.shape())?;
        let zeros = Tensor::zeros((1, 1), x.dtype(), x.device())?.broadcast_as(x.shape())?;
        Ok(flags.where_cond(x, &zeros)?)
    }

    /// Begins each sequence with a copy of its second column: torch's `ReflectionPad1d((1, 0))`.
    pub fn reflect_left(&self, x: &Tensor) -> Result<Tensor> {
        let (channels, columns) = x.dims2()?;
        let x = x.reshape((channels, self.count(), columns / self.count()))?;
        // Packed, the last column of each is nobody's and makes room.
        let kept = columns / self.count() - usize::from(self.has_gaps());
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

/// Parts sequences, by index, into groups that may lie side by side: `fits` is asked whether there is room for so many, each as
/// long as the longest. Those of like length come together, so that little is wasted; one is a group whatever its length.
pub fn groups(lens: &[usize], fits: impl Fn(usize, usize) -> bool) -> Vec<Vec<usize>> {
    let mut sorted: Vec<usize> = (0..lens.len()).collect();
    sorted.sort_by_key(|&index| lens[index]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in sorted {
        match groups.last_mut() {
            Some(group) if fits(group.len() + 1, lens[index]) => group.push(index),
            _ => groups.push(vec![index]),
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(2, len)`, or with `rows` `(len, 2)`.
    fn sequences(lens: &[usize], rows: bool) -> Vec<Tensor> {
        let one = |&len: &usize| {
            let x = Tensor::randn(0f32, 1.0, (2, len), &Device::Cpu).unwrap();
            if rows { x.t().unwrap().contiguous().unwrap() } else { x }
        };
        lens.iter().map(one).collect()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn sequences_come_back_from_columns_and_rows_and_gaps_are_cleared_of_anything() {
        let lens = [3, 7, 1];
        let packing = Packing::new(&lens, 2, &Device::Cpu);
        assert_eq!((packing.count(), packing.pitch(), packing.lens()), (3, 16, &lens[..]));
        for rows in [false, true] {
            let all = sequences(&lens, rows);
            let packed = if rows { packing.pack_rows(&all) } else { packing.pack(&all) }.unwrap();
            let clear = |x: &Tensor| if rows { packing.clear_row_gaps(x) } else { packing.clear_gaps(x) };
            let unpack = |x: &Tensor| if rows { packing.unpack_rows(x) } else { packing.unpack(x) };
            // What is not a number anywhere else is gone.
            let ones = clear(&packed.ones_like().unwrap()).unwrap();
            let spoilt = (&packed / ones).unwrap();
            assert!(values(&spoilt).iter().any(|x| x.is_nan()));
            assert_eq!(values(&clear(&spoilt).unwrap()), values(&packed));
            for (back, x) in unpack(&spoilt).unwrap().iter().zip(&all) {
                assert_eq!(values(back), values(x));
            }
        }
    }

    #[test]
    fn the_first_sequences_lie_where_they_lay() {
        let all = sequences(&[5, 2, 4], true);
        let packing = Packing::new(&[5, 2, 4], 1, &Device::Cpu);
        let packed = packing.pack_rows(&all).unwrap();
        for count in [1, 2] {
            let first = packing.first(count);
            let x = packed.narrow(0, 0, count * packing.pitch()).unwrap();
            assert_eq!(values(&first.pack_rows(&all[..count]).unwrap()), values(&x));
            let back = first.unpack_rows(&x).unwrap();
            assert_eq!(
                back.iter().map(values).collect::<Vec<_>>(),
                all[..count].iter().map(values).collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn groups_hold_what_is_alike_and_fits() {
        let fits = |count: usize, longest: usize| count * longest <= 20;
        assert_eq!(groups(&[9, 3, 30, 10, 4], fits), [vec![1, 4], vec![0, 3], vec![2]]);
        assert_eq!(groups(&[5; 9], fits).iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 1]);
        assert!(groups(&[], fits).is_empty());
    }
}
