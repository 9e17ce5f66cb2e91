//! How much each key has asked for of late, and how much of it is under way.

use super::{Access, ApiKey};
use crate::{ApiError, ErrorCode};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

type Hash = [u8; 32];

/// One account for each key, as many as there are keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meters(Arc<Mutex<HashMap<Hash, Account>>>);

#[derive(Debug)]
struct Account {
    running: u32,
    /// Requests that may come at once; refilled evenly up to those of a minute.
    credit: f64,
    at: Instant,
}

/// A request under way. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Pass {
    meters: Meters,
    hash: Hash,
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(account) = self.meters.accounts().get_mut(&self.hash) {
            account.running = account.running.saturating_sub(1);
        }
    }
}

impl Meters {
    /// Counts a request of `key`, or says when it may come again.
    pub(super) fn enter(&self, access: &Access, key: &ApiKey) -> Result<Pass, ApiError> {
        self.enter_at(access, key, Instant::now())
    }

    fn enter_at(&self, access: &Access, key: &ApiKey, now: Instant) -> Result<Pass, ApiError> {
        let hash = *key.hash();
        let rate = key.requests_per_minute.or(access.requests_per_minute);
        let most = key.concurrent.or(access.concurrent);
        let mut accounts = self.accounts();
        if accounts.len() > access.keys.len() {
            // Those of keys that are no more, unless something of theirs is under way.
            accounts.retain(|hash, own| own.running > 0 || access.keys.iter().any(|key| key.hash() == hash));
        }
        let full = f64::from(rate.unwrap_or(0));
        let account = accounts.entry(hash).or_insert(Account { running: 0, credit: full, at: now });
        if most.is_some_and(|most| account.running >= most) {
            return Err(too_much(1, "as many requests of this key are under way as it may have at once"));
        }
        if let Some(rate) = rate {
            account.pay(rate, now)?;
        }
        account.running += 1;
        Ok(Pass { meters: self.clone(), hash })
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Hash, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn pay(&mut self, rate: u32, now: Instant) -> Result<(), ApiError> {
        let (full, a_second) = (f64::from(rate), f64::from(rate) / 60.0);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.credit = (self.credit + passed * a_second).min(full);
        self.at = now;
        if self.credit < 1.0 {
            let seconds = ((1.0 - self.credit) / a_second).ceil() as u32;
            let message = format!("this key may send {rate} requests a minute");
            return Err(too_much(seconds, &message));
        }
        self.credit -= 1.0;
        Ok(())
    }
}

fn too_much(seconds: u32, message: &str) -> ApiError {
    ApiError {
        retry_after_s: Some(seconds.clamp(1, 60)),
        ..ApiError::new(ErrorCode::RateLimitExceeded, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn key(name: &str) -> ApiKey {
        ApiKey::from_secret(name, &format!("a key of sixteen and more: {name}")).unwrap()
    }

    #[test]
    fn a_minutes_requests_may_come_at_once_and_then_evenly() {
        let (a, b) = (key("a"), key("b"));
        let keys = vec![a.clone(), b.clone()];
        let access = Access { keys, requests_per_minute: Some(3), ..Access::default() };
        let meters = Meters::default();
        let start = Instant::now();
        let enter = |key: &ApiKey, seconds: u64| {
            let result = meters.enter_at(&access, key, start + Duration::from_secs(seconds));
            result.map(drop).map_err(|error| error.retry_after_s)
        };
        for _ in 0..3 {
            assert_eq!(enter(&a, 0), Ok(()));
        }
        assert_eq!((enter(&a, 0), enter(&b, 0)), (Err(Some(20)), Ok(())));
        assert_eq!((enter(&a, 21), enter(&a, 21)), (Ok(()), Err(Some(19))));
        let later = (0..10).filter(|_| enter(&a, 3600).is_ok()).count();
        assert_eq!(later, 3, "an idle hour saves up a minute's, not an hour's");
    }

    #[test]
    fn what_ends_makes_room_and_a_refusal_costs_nothing() {
        let mut own = key("a");
        own.concurrent = Some(1);
        own.requests_per_minute = Some(2);
        let access = Access { keys: vec![own.clone()], concurrent: Some(9), ..Access::default() };
        let meters = Meters::default();
        let running = meters.enter(&access, &own).unwrap();
        for _ in 0..5 {
            assert_eq!(meters.enter(&access, &own).unwrap_err().retry_after_s, Some(1));
        }
        drop(running);
        meters.enter(&access, &own).unwrap();
    }

    #[test]
    fn accounts_of_keys_that_are_no_more_are_forgotten() {
        let keys: Vec<ApiKey> = (0..20).map(|n| key(&n.to_string())).collect();
        let meters = Meters::default();
        for pair in keys.chunks(2) {
            let access = Access { keys: pair.to_vec(), ..Access::default() };
            for key in pair {
                meters.enter(&access, key).unwrap();
            }
        }
        assert!(meters.accounts().len() <= 3, "{}", meters.accounts().len());
    }
}
