//! Who waits for a pass of the networks, and how its work is counted for each of them.

use stentor_engine::{CancelFlag, ChunkRequest, StepCounter};
use stentor_nn::Watch;

/// The chunks that one pass serves.
pub(super) struct Waiting(Vec<(CancelFlag, StepCounter)>);

impl Waiting {
    pub(super) fn on<'a>(requests: impl Iterator<Item = &'a ChunkRequest>) -> Self {
        Self(requests.map(|request| (request.cancel.clone(), request.progress.clone())).collect())
    }
}

impl Watch for Waiting {
    /// Work that ends after a cancellation is not progress: the counter of a chunk that nobody waits for stands still. A pass
    /// goes on as long as somebody waits for its result.
    fn tick(&self) -> bool {
        let mut awaited = false;
        for (cancel, progress) in &self.0 {
            if !cancel.is_cancelled() {
                progress.advance();
                awaited |= !cancel.is_cancelled();
            }
        }
        awaited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_goes_on_while_one_chunk_is_awaited_and_counts_for_that_one_only() {
        let [left, stays] = [(); 2].map(|()| (CancelFlag::default(), StepCounter::default()));
        let watch = Waiting(vec![left.clone(), stays.clone()]);
        assert!(watch.tick());
        left.0.cancel();
        assert!(watch.tick() && watch.tick());
        assert_eq!((left.1.get(), stays.1.get()), (1, 3));
        stays.0.cancel();
        assert!(!watch.tick());
        assert_eq!(stays.1.get(), 3);
    }
}
