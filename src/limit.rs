//! Shared quantities with a bound that may change while they are in use (requests in flight, bytes of bodies).
//!
//! Taking is one atomic operation while there is room; only who finds none waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How much is in use. Cheap to clone; all clones count the same.
#[derive(Clone, Debug, Default)]
pub struct Limit(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    used: AtomicU64,
    waiting: AtomicU64,
    freed: Notify,
}

/// A share in use; given back when dropped.
#[derive(Debug)]
pub struct Share {
    limit: Limit,
    amount: u64,
}

impl Limit {
    /// What is in use now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Takes `amount` if no more than `most` is in use with it.
    pub fn try_take(&self, amount: u64, most: u64) -> Option<Share> {
        self.add(amount, most).then(|| Share { limit: self.clone(), amount })
    }

    /// Takes `amount`, waiting up to `patience` for room.
    pub async fn take(&self, amount: u64, most: u64, patience: Duration) -> Option<Share> {
        if let Some(share) = self.try_take(amount, most) {
            return Some(share);
        }
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(self);
        tokio::time::timeout(patience, self.room(amount, most)).await.ok()
    }

    async fn room(&self, amount: u64, most: u64) -> Share {
        loop {
            // Listening starts before looking, so that nothing freed in between is missed.
            let mut freed = std::pin::pin!(self.0.freed.notified());
            freed.as_mut().enable();
            if let Some(share) = self.try_take(amount, most) {
                return share;
            }
            freed.await;
        }
    }

    fn add(&self, amount: u64, most: u64) -> bool {
        let fits = |used: u64| used.checked_add(amount).filter(|sum| *sum <= most);
        self.0.used.fetch_update(Ordering::SeqCst, Ordering::Relaxed, fits).is_ok()
    }
}

impl Share {
    /// Takes `amount` more, without waiting.
    pub fn grow(&mut self, amount: u64, most: u64) -> bool {
        let grown = self.limit.add(amount, most);
        self.amount += if grown { amount } else { 0 };
        grown
    }

    /// How much it is.
    pub fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.limit.0.used.fetch_sub(self.amount, Ordering::SeqCst);
        if self.limit.0.waiting.load(Ordering::SeqCst) > 0 {
            self.limit.0.freed.notify_waiters();
        }
    }
}

/// Counts a waiter as long as it waits, also if it gives up.
struct Waiting<'a>(&'a Limit);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn takes_up_to_the_bound_and_waits_for_what_is_given_back() {
        let limit = Limit::default();
        let first = limit.try_take(7, 10).expect("there is room");
        assert!(limit.try_take(4, 10).is_none());
        assert!(limit.take(4, 10, Duration::from_secs(1)).await.is_none(), "nobody gives back");
        let waiter = tokio::spawn({
            let limit = limit.clone();
            async move { limit.take(4, 10, Duration::from_secs(5)).await.is_some() }
        });
        tokio::task::yield_now().await;
        drop(first);
        assert!(waiter.await.expect("does not panic"));
        assert_eq!(limit.used(), 0);
    }

    #[test]
    fn a_share_grows_within_the_bound_and_gives_all_back() {
        let limit = Limit::default();
        let mut share = limit.try_take(2, 10).expect("there is room");
        assert!(share.grow(8, 10) && !share.grow(1, 10));
        assert_eq!((limit.used(), share.amount()), (10, 10));
        drop(share);
        assert_eq!(limit.used(), 0);
    }
}
