//! Orders to a model's keeper to give up its worker, and who has to be told when the worker is gone.

use crate::{UnloadError, Unloaded, shared::Shared};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait for a keeper; whoever gives one more waits with it.
pub(crate) const ORDERS: usize = 8;

type Answer = oneshot::Sender<Result<(), UnloadError>>;

pub(crate) struct Order {
    why: Unloaded,
    answer: Answer,
}

/// The decision that a worker goes, and who waits for it to be gone.
pub(crate) struct Leave {
    pub(crate) why: Unloaded,
    answer: Option<Answer>,
}

impl Leave {
    pub(crate) fn idle() -> Self {
        Self { why: Unloaded::Idle, answer: None }
    }

    /// The worker is reaped.
    pub(crate) fn done(self) {
        if let Some(answer) = self.answer {
            // Whoever asked may have left.
            let _ = answer.send(Ok(()));
        }
    }
}

impl Order {
    /// To be followed if nobody uses the model; otherwise it is answered.
    pub(crate) fn follow(self, shared: &Shared) -> Option<Leave> {
        if shared.usage.let_go(Duration::ZERO) {
            return Some(Leave { why: self.why, answer: Some(self.answer) });
        }
        let _ = self.answer.send(Err(UnloadError::Busy));
        None
    }

    /// For a model without a ready worker: a client's wish is followed, and there is nothing to evict, unless a
    /// worker is `loading`, which is let be.
    fn follow_early(self, shared: &Shared, loading: bool) -> Option<Leave> {
        if self.why == Unloaded::Asked {
            return self.follow(shared);
        }
        let _ = self.answer.send(if loading { Err(UnloadError::Busy) } else { Ok(()) });
        None
    }
}

/// Resolves when a model whose worker is not ready is to be given up. Cancel-safe.
pub(crate) async fn dismissed(shared: &Shared, orders: &mut mpsc::Receiver<Order>, loading: bool) -> Leave {
    loop {
        match orders.recv().await {
            Some(order) => {
                if let Some(leave) = order.follow_early(shared, loading) {
                    return leave;
                }
            }
            None => std::future::pending().await,
        }
    }
}

impl Shared {
    /// Has the worker ended; resolves when the process is gone.
    pub(crate) async fn unload(&self, why: Unloaded) -> Result<(), UnloadError> {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Order { why, answer }).await.is_err() {
            // The keeper is gone, and its worker with it.
            return Ok(());
        }
        answered.await.unwrap_or(Ok(()))
    }
}
