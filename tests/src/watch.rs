//! What is going on in a drill, so that one that hangs can say where.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What has begun and not ended. Clones share it.
#[derive(Clone, Default)]
pub struct Watch(Arc<Mutex<Doing>>);

#[derive(Default)]
struct Doing {
    next: u64,
    what: BTreeMap<u64, (String, Instant)>,
}

/// Ends with its drop.
pub struct Doings {
    watch: Watch,
    id: u64,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `what` goes on until the value is dropped.
    #[must_use = "what is dropped at once is over at once"]
    pub fn begin(&self, what: impl Into<String>) -> Doings {
        let mut doing = self.lock();
        doing.next += 1;
        let id = doing.next;
        doing.what.insert(id, (what.into(), Instant::now()));
        Doings { watch: self.clone(), id }
    }

    /// Waits for `work`; panics with everything that still goes on when it takes longer than `limit`.
    pub async fn within<T>(&self, limit: Duration, work: impl Future<Output = T>) -> T {
        // Kept until the panic: what it is doing ends with it.
        let mut work = std::pin::pin!(work);
        let Ok(done) = tokio::time::timeout(limit, &mut work).await else {
            panic!("not done within {limit:?}; still going on:\n{self}");
        };
        done
    }
}

impl Drop for Doings {
    fn drop(&mut self) {
        self.watch.lock().what.remove(&self.id);
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, since) in self.lock().what.values() {
            writeln!(f, "  {what}, for {:.1} s", since.elapsed().as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "second thing")]
    async fn what_hangs_is_named() {
        let watch = Watch::default();
        let work = async {
            drop(watch.begin("first thing"));
            let _second = watch.begin("second thing");
            std::future::pending::<()>().await;
        };
        watch.within(Duration::from_millis(20), work).await;
    }
}
