//! How long nothing comes.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Waits for the end of a silence, without touching the timer for every piece that breaks it.
#[derive(Debug)]
pub struct Silence {
    limit: Duration,
    since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Silence {
    /// A silence longer than `limit` is too long.
    pub fn new(limit: Duration) -> Self {
        Self { limit, since: None, timer: None }
    }

    /// Something came.
    pub fn broken(&mut self) {
        self.since = None;
    }

    /// Since when nothing came; `None` while something does.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }

    /// Nothing came; ready once that has been so for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ends = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        while timer.as_mut().poll(cx).is_ready() {
            if Instant::now() >= ends {
                return Poll::Ready(());
            }
            timer.as_mut().reset(ends);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `silence` is too long within `seconds` of nothing.
    async fn is_too_long(silence: &mut Silence, seconds: u64) -> bool {
        let too_long = std::future::poll_fn(|cx| silence.poll(cx));
        tokio::time::timeout(Duration::from_secs(seconds), too_long).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_the_last_piece() {
        let mut silence = Silence::new(Duration::from_secs(10));
        for _ in 0..5 {
            assert!(!is_too_long(&mut silence, 9).await);
            silence.broken();
        }
        assert!(!is_too_long(&mut silence, 9).await);
        assert!(is_too_long(&mut silence, 2).await);
    }
}
