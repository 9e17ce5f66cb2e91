//! A pass over tensors of fixed shapes that a card is told once, not kernel by kernel each time.

use crate::Result;
#[cfg(feature = "cuda")]
use crate::card::CardReplay;
use candle_core::Tensor;

/// A pass that always takes and gives tensors of the same shapes.
///
/// On a card its first run is launched kernel by kernel, its second is recorded as a CUDA graph, and later ones launch that. The first few
/// different results that are replayed are compared, to the bit, with what they stand for; where that differs, or the driver does not record, runs go on
/// kernel by kernel. On the CPU there is nothing to record.
#[derive(Debug, Default)]
pub struct Replay {
    #[cfg(feature = "cuda")]
    card: Option<CardReplay>,
    refused: Option<String>,
}

impl Replay {
    /// What `pass` makes of `given`. It must read nothing else that changes from run to run, lengths on a card included
    /// ([`crate::Packing::with_lens`]), and do the same for all that is given; what else it reads must outlive this, as must the thread that
    /// runs it. The result holds until the next run.
    pub fn run(&mut self, given: &[&Tensor], pass: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if self.refused.is_none() && given.first().is_some_and(|x| x.device().is_cuda()) {
            let Some(card) = &mut self.card else {
                let (card, x) = CardReplay::first(given, pass)?;
                self.card = Some(card);
                return Ok(x);
            };
            let (x, kept) = card.next(given, pass)?;
            if let Err(why) = kept {
                (self.card, self.refused) = (None, Some(why));
            }
            return Ok(x);
        }
        pass(&given.iter().map(|&x| x.clone()).collect::<Vec<_>>())
    }

    /// Why runs go kernel by kernel, if they do though a card could replay them.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }
}
