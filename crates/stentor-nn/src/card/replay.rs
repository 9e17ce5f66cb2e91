//! Passes over tensors of fixed shapes, recorded once.

use super::{launch::card_of, recording::Recording};
use crate::Result;
use candle_core::{DType, Tensor, cuda_backend::WrapErr};

/// Different results of a recording that are compared with what they stand for: that of the input that was recorded, and two of others.
const COMPARED: usize = 3;

/// A pass on a card; [`crate::Replay`] says what it does.
#[derive(Debug)]
pub(crate) struct CardReplay {
    /// Where the pass reads what it is given, each time.
    inputs: Vec<Tensor>,
    /// Where a recording leaves what it gives.
    output: Tensor,
    recording: Option<Recording>,
    compared: usize,
    /// The last result that was.
    last: Vec<u32>,
}

impl CardReplay {
    /// The first pass, with what it gives. It is not recorded: the driver loads a kernel when it is first launched, and candle uploads
    /// what tells kernels of strides, neither of which can be recorded.
    pub(crate) fn first(
        given: &[&Tensor],
        pass: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    ) -> Result<(Self, Tensor)> {
        let inputs = given.iter().map(|x| x.contiguous()?.copy()).collect::<candle_core::Result<Vec<_>>>()?;
        let _keeps_uploads = card_of(given[0])?.enable_cuda_graph_htod_cache();
        let x = pass(&inputs)?.contiguous()?;
        Ok((Self { inputs, output: x.zeros_like()?, recording: None, compared: 0, last: Vec::new() }, x))
    }

    /// All later ones; `Err` in the result says why there will be no more recordings.
    pub(crate) fn next(
        &mut self,
        given: &[&Tensor],
        pass: &dyn Fn(&[Tensor]) -> Result<Tensor>,
    ) -> Result<(Tensor, std::result::Result<(), String>)> {
        if !self.inputs.iter().map(Tensor::dims).eq(given.iter().map(|x| x.dims())) {
            return Err(
                candle_core::Error::Msg("a pass was given other shapes than before".to_owned()).into()
            );
        }
        for (kept, given) in self.inputs.iter().zip(given) {
            kept.slice_set(&given.contiguous()?, 0, 0)?;
        }
        if self.recording.is_none() {
            match self.record(pass) {
                Ok(recording) => self.recording = Some(recording),
                Err(why) => {
                    let why = format!("the driver does not record it: {why}");
                    return Ok((pass(&self.inputs)?, Err(why)));
                }
            }
        }
        if let Some(recording) = &self.recording {
            recording.launch().w()?;
        }
        if self.compared < COMPARED {
            let expected = pass(&self.inputs)?;
            let right = bits(&expected)?;
            if right != bits(&self.output)? {
                return Ok((expected, Err("what is replayed is not what was recorded".to_owned())));
            }
            // The same again, as "Yes." after "Yes.", proves nothing new.
            self.compared += usize::from(right != self.last);
            self.last = right;
        }
        Ok((self.output.clone(), Ok(())))
    }

    fn record(&self, pass: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> std::result::Result<Recording, String> {
        let card = card_of(&self.output).map_err(|error| in_one_line(&error))?;
        let _finds_uploads = card.enable_cuda_graph_htod_cache();
        Recording::of(&card.cuda_stream(), || {
            // All that the pass allocates is freed before this ends, so it is the recording's own.
            let x = pass(&self.inputs).map_err(|error| in_one_line(&error))?;
            let put = x.contiguous().and_then(|x| self.output.slice_set(&x, 0, 0));
            put.map_err(|error| in_one_line(&error))
        })
    }
}

/// Without where it came from, which candle's errors may tell behind it.
fn in_one_line(error: &dyn std::fmt::Display) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn bits(x: &Tensor) -> Result<Vec<u32>> {
    let x = x.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    Ok(x.into_iter().map(f32::to_bits).collect())
}
