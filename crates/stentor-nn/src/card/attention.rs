//! Self-attention of all heads and sequences in one launch (`attention.cu`).

use super::{
    kernel,
    launch::{Operand, argument, card_of, matrix, some_integers, some_numbers},
    small,
};
use crate::{Packing, RelativePositions, Result};
use candle_core::{
    CudaDevice, DType, Tensor, bail,
    cuda_backend::{
        WrapErr,
        cudarc::driver::{CudaView, LaunchConfig, PushKernelArg},
    },
};
use half::f16;

/// Queries of a block and its threads; the kernels' `QUERIES` and `ATTEND_THREADS`.
const QUERIES: usize = 64;
const ATTEND_THREADS: u32 = 128;
/// Blocks along heads and sequences that a launch may have.
const MOST_BLOCKS: usize = 65_535;
/// Numbers that a kernel reads at once begin at a multiple of so many.
const ALIGNED: usize = 8;

/// Whether there is a kernel for heads of this width, with relative positions or without.
pub(crate) fn can_attend(dtype: DType, width: usize, relative: bool) -> bool {
    name(dtype, width, relative).is_some()
}

fn name(dtype: DType, width: usize, relative: bool) -> Option<&'static str> {
    match (dtype, width, relative) {
        (DType::F32, 64, false) => Some("attend_single_64"),
        (DType::F32, 32, false) => Some("attend_single_32"),
        (DType::F32, 64, true) => Some("attend_relative_64"),
        (DType::F16, 64, false) => Some("attend_half_64"),
        _ => None,
    }
}

/// Queries, keys and values of heads, where a product has put them.
pub(crate) struct Attention<'a> {
    /// One tensor for all three, `(rows, 3 * heads * width)`, or one for each, `(rows, heads * width)`.
    qkv: &'a [&'a Tensor],
    heads: usize,
    width: usize,
    rows: usize,
}

/// Which rows are a sequence's.
struct Places {
    count: usize,
    /// From one sequence to the next; where each says where it begins, of the longest.
    pitch: usize,
    /// Of as many numbers as there are sequences.
    starts: Option<Tensor>,
    lens: Option<Tensor>,
}

impl<'a> Attention<'a> {
    pub(crate) fn new(qkv: &'a [&'a Tensor], heads: usize) -> Result<Self> {
        let (rows, columns) = qkv[0].dims2()?;
        let hidden = if qkv.len() == 1 { columns / 3 } else { columns };
        let fits = qkv.iter().all(|x| x.dims() == [rows, columns] && x.dtype() == qkv[0].dtype());
        if heads == 0 || hidden % heads != 0 || !fits {
            return Err(
                candle_core::Error::Msg(format!("{heads} heads cannot share {columns} numbers")).into()
            );
        }
        Ok(Self { qkv, heads, width: hidden / heads, rows })
    }

    /// Of packed sequences, each of which sees itself only; rows that are nobody's come out as zeros. Half precision stays so.
    pub(crate) fn of_packed(
        &self,
        positions: Option<RelativePositions<'_>>,
        packing: &Packing,
    ) -> Result<Tensor> {
        let (count, pitch) = (packing.count(), packing.pitch());
        let lens = packing.has_gaps().then(|| packing.lens_on(self.qkv[0].device())).transpose()?;
        if self.rows != count * pitch {
            return Err(
                candle_core::Error::Msg(format!("{count} sequences cannot have {} rows", self.rows)).into()
            );
        }
        Ok(self.launch(positions, &Places { count, pitch, starts: None, lens })?)
    }

    /// Of stretches of rows one behind the other, each of which sees itself only.
    pub(crate) fn of_stretches(&self, lens: &[usize]) -> Result<Tensor> {
        if lens.iter().sum::<usize>() != self.rows {
            return Err(candle_core::Error::Msg(format!("stretches cannot have {} rows", self.rows)).into());
        }
        let (count, pitch) = (lens.len(), lens.iter().max().copied().unwrap_or(0));
        let (mut starts_on, mut lens_on) = (None, None);
        if count > 1 {
            let starts = lens.iter().scan(0, |start, len| Some(std::mem::replace(start, *start + len)));
            let both = [small(&starts.collect::<Vec<_>>()), small(lens)].concat();
            let both = Tensor::from_vec(both, 2 * count, self.qkv[0].device())?;
            starts_on = Some(both.narrow(0, 0, count)?);
            lens_on = Some(both.narrow(0, count, count)?);
        }
        Ok(self.launch(None, &Places { count, pitch, starts: starts_on, lens: lens_on })?)
    }

    fn launch(
        &self,
        positions: Option<RelativePositions<'_>>,
        places: &Places,
    ) -> candle_core::Result<Tensor> {
        let Self { heads, width, rows, .. } = *self;
        let (hidden, dtype) = (heads * width, self.qkv[0].dtype());
        let (card, packed) = (card_of(self.qkv[0])?, self.qkv.len() == 1);
        let Some(name) = name(dtype, width, positions.is_some()) else {
            bail!("a card has no attention of heads of {width} {dtype:?}");
        };
        if rows == 0 {
            return Tensor::zeros((0, hidden), dtype, self.qkv[0].device());
        }
        let qkv = self.qkv.iter().map(|x| x.contiguous()).collect::<candle_core::Result<Vec<_>>>()?;
        if heads.max(places.count) > MOST_BLOCKS || !qkv.iter().all(is_aligned) {
            bail!("a card cannot attend to {heads} heads of {} sequences there", places.count);
        }
        let operands = qkv.iter().map(Operand::of).collect::<candle_core::Result<Vec<_>>>()?;
        let around = Around {
            name,
            config: LaunchConfig {
                grid_dim: (places.pitch.div_ceil(QUERIES) as u32, heads as u32, places.count as u32),
                block_dim: (ATTEND_THREADS, 1, 1),
                shared_mem_bytes: 0,
            },
            stride: (if packed { 3 * hidden } else { hidden }) as u32,
            pitch: places.pitch as u32,
            scale: std::f32::consts::LOG2_E / (width as f32).sqrt(),
        };
        let size = (rows, hidden);
        if dtype == DType::F16 {
            return around.launch_half(&card, &operands, places, size);
        }
        let part = |index: usize| {
            if !packed {
                return operands[index].numbers::<f32>();
            }
            let all = operands[0].numbers::<f32>()?;
            Ok(all.slice(index * hidden..))
        };
        let positions = positions.map(|positions| Positions::new(positions, places, hidden)).transpose()?;
        around.launch_single(&card, &[part(0)?, part(1)?, part(2)?], (positions.as_ref(), places), size)
    }
}

/// A kernel reads sixteen bytes at once.
fn is_aligned(x: &Tensor) -> bool {
    x.layout().start_offset().is_multiple_of(ALIGNED)
}

/// Relative positions, contiguous.
struct Positions([Tensor; 3]);

impl Positions {
    fn new(positions: RelativePositions<'_>, places: &Places, hidden: usize) -> candle_core::Result<Self> {
        let RelativePositions { distances, key_bias, distance_bias } = positions;
        let fits = distances.dims() == [2 * places.pitch - 1, hidden]
            && key_bias.elem_count() == hidden
            && distance_bias.elem_count() == hidden;
        let all = [distances.contiguous()?, key_bias.contiguous()?, distance_bias.contiguous()?];
        if !fits || !all.iter().all(is_aligned) {
            bail!("relative positions of {hidden} numbers have {:?}", distances.dims());
        }
        Ok(Self(all))
    }
}

/// What all kernels are launched with.
struct Around {
    name: &'static str,
    config: LaunchConfig,
    pitch: u32,
    stride: u32,
    scale: f32,
}

impl Around {
    fn launch_single(
        &self,
        card: &CudaDevice,
        qkv: &[CudaView<'_, f32>; 3],
        (positions, places): (Option<&Positions>, &Places),
        (rows, hidden): (usize, usize),
    ) -> candle_core::Result<Tensor> {
        let [distances, key_bias, distance_bias] = [0, 1, 2].map(|index| positions.map(|all| &all.0[index]));
        let distances = Operand::of_some(distances)?;
        let (key_bias, distance_bias) = (Operand::of_some(key_bias)?, Operand::of_some(distance_bias)?);
        let (distances, key_bias) = (some_numbers(distances.as_ref())?, some_numbers(key_bias.as_ref())?);
        let distance_bias = some_numbers(distance_bias.as_ref())?;
        let (starts, lens) =
            (Operand::of_some(places.starts.as_ref())?, Operand::of_some(places.lens.as_ref())?);
        let (starts, lens) = (some_integers(starts.as_ref())?, some_integers(lens.as_ref())?);
        let (function, stream) = (kernel(card, self.name)?, card.cuda_stream());
        #[expect(unsafe_code, reason = "a kernel is launched")]
        // SAFETY: the kernel reads and writes within these lengths, which were checked, writes every row that a sequence or what is between
        // two has, and those are all rows; null pointers stand for what is not given, which it looks for.
        let out = unsafe {
            let out = card.alloc::<f32>(rows * hidden)?;
            let mut launch = stream.launch_builder(&function);
            launch.arg(&qkv[0]).arg(&qkv[1]).arg(&qkv[2]).arg(&out);
            argument!(launch, starts);
            argument!(launch, lens);
            argument!(launch, distances);
            argument!(launch, key_bias);
            argument!(launch, distance_bias);
            launch.arg(&self.pitch).arg(&self.stride).arg(&self.scale);
            launch.launch(self.config).w()?;
            out
        };
        Ok(matrix(out, card, rows, hidden))
    }

    /// One tensor holds all three here.
    fn launch_half(
        &self,
        card: &CudaDevice,
        qkv: &[Operand<'_>],
        places: &Places,
        (rows, hidden): (usize, usize),
    ) -> candle_core::Result<Tensor> {
        let ([qkv], None) = (qkv, &places.starts) else {
            bail!("halves are attended to in packed sequences only");
        };
        let lens = Operand::of_some(places.lens.as_ref())?;
        let (qkv, lens) = (qkv.numbers::<f16>()?, some_integers(lens.as_ref())?);
        let (function, stream) = (kernel(card, self.name)?, card.cuda_stream());
        #[expect(unsafe_code, reason = "a kernel is launched")]
        // SAFETY: as in single precision.
        let out = unsafe {
            let out = card.alloc::<f16>(rows * hidden)?;
            let mut launch = stream.launch_builder(&function);
            launch.arg(&qkv).arg(&out);
            argument!(launch, lens);
            launch.arg(&self.pitch).arg(&self.stride).arg(&self.scale);
            launch.launch(self.config).w()?;
            out
        };
        Ok(matrix(out, card, rows, hidden))
    }
}
