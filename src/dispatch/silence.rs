//! How long nothing comes.
//!
//! Most of what is waited for is there already: neither the clock nor the timer is touched before there is nothing.

use std::pin::{Pin, pin};
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

/// Nothing came in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

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

    /// Waits for what breaks the silence.
    pub async fn until<F: Future>(&mut self, sound: F) -> Result<F::Output, TooLong> {
        let mut sound = pin!(sound);
        let came = std::future::poll_fn(|cx| match sound.as_mut().poll(cx) {
            Poll::Ready(came) => Poll::Ready(Ok(came)),
            Poll::Pending => self.poll(cx).map(|()| Err(TooLong)),
        });
        let came = came.await;
        self.broken();
        came
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

/// Waits for `future`. Until when is asked only if it is not there yet, with the time it is then.
pub async fn in_time<F: Future>(future: F, until: impl FnOnce(Instant) -> Instant) -> Result<F::Output, TooLong> {
    let (mut future, mut until, mut timer) = (pin!(future), Some(until), pin!(None));
    let step = |cx: &mut Context<'_>| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if let Some(until) = until.take() {
            timer.set(Some(sleep_until(until(Instant::now()))));
        }
        timer.as_mut().as_pin_mut().map_or(Poll::Pending, |timer| timer.poll(cx)).map(|()| Err(TooLong))
    };
    std::future::poll_fn(step).await
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
