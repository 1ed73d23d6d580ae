//! How soon an endpoint is expected to answer: a peak-sensitive moving average of the time to the first byte, after
//! Finagle's Peak EWMA.
//!
//! It jumps up at once and comes down slowly. It fades while nothing is in flight, so that an endpoint that was slow is
//! asked again some time, by one request and not by a herd. What was never measured is asked at once by one request, and
//! expected to take a second until that is answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Moment;

/// Time in which an old measurement loses most of its say.
const TAU_MILLIS: f64 = 10_000.0;
/// What is expected of an endpoint that has not answered its first request yet.
const UNKNOWN: Duration = Duration::from_secs(1);
/// What a failure counts as, at least: fast failures must not attract traffic.
const PENALTY: Duration = Duration::from_secs(5);

/// The estimate, in one atomic word: the moment (milliseconds, low 32 bits) above the microseconds.
#[derive(Debug, Default)]
pub(super) struct Latency(AtomicU64);

impl Latency {
    /// Takes in a time to the first byte.
    pub(super) fn observe(&self, took: Duration, now: Moment) {
        let sample = took.as_secs_f64() * 1e6;
        let update = |word: u64| {
            let kept = weight(age(word, now));
            let old = micros(word);
            let new = if word == 0 || sample > old { sample } else { old * kept + sample * (1.0 - kept) };
            Some(pack(new, now))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }

    /// Takes in a failure after `took`.
    pub(super) fn penalize(&self, took: Duration, now: Moment) {
        self.observe(took.max(PENALTY), now);
    }

    /// The expected time to the first byte, in microseconds, never zero.
    pub(super) fn expected(&self, idle: bool, now: Moment) -> u64 {
        let word = self.0.load(Ordering::Relaxed);
        if word == 0 {
            return if idle { 1 } else { u64::try_from(UNKNOWN.as_micros()).unwrap_or(u64::MAX) };
        }
        let faded = if idle { weight(age(word, now)) } else { 1.0 };
        whole(micros(word) * faded).max(1)
    }
}

fn weight(age: u32) -> f64 {
    (-f64::from(age) / TAU_MILLIS).exp()
}

fn age(word: u64, now: Moment) -> u32 {
    low(now.0).wrapping_sub(low(word >> 32))
}

fn micros(word: u64) -> f64 {
    f64::from(low(word))
}

fn pack(value: f64, now: Moment) -> u64 {
    u64::from(low(now.0)) << 32 | whole(value).clamp(1, u64::from(u32::MAX))
}

fn low(word: u64) -> u32 {
    u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn whole(value: f64) -> u64 {
    value as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::at;

    const MILLI: u64 = 1000;

    fn after(samples: &[(u64, u64)]) -> Latency {
        let latency = Latency::default();
        for (seconds, millis) in samples {
            latency.observe(Duration::from_millis(*millis), at(*seconds));
        }
        latency
    }

    #[test]
    fn a_peak_counts_at_once_and_goes_slowly() {
        let latency = after(&[(0, 100), (1, 900)]);
        assert_eq!(latency.expected(false, at(1)), 900 * MILLI);
        latency.observe(Duration::from_millis(100), at(2));
        let slower = latency.expected(false, at(2));
        assert!((800 * MILLI..900 * MILLI).contains(&slower), "{slower}");
        latency.observe(Duration::from_millis(100), at(120));
        let forgotten = latency.expected(false, at(120));
        assert!((100 * MILLI..102 * MILLI).contains(&forgotten), "{forgotten}");
    }

    #[test]
    fn an_estimate_fades_only_while_idle() {
        let latency = after(&[(0, 900)]);
        assert_eq!(latency.expected(false, at(60)), 900 * MILLI);
        assert!(latency.expected(true, at(60)) < 10 * MILLI);
        assert!(latency.expected(true, at(100_000)) >= 1);
    }

    #[test]
    fn fast_failures_count_as_slow_and_the_unknown_is_asked_by_one_request() {
        let latency = after(&[(0, 10)]);
        latency.penalize(Duration::from_millis(1), at(1));
        assert_eq!(latency.expected(false, at(1)), 5000 * MILLI);
        assert_eq!(after(&[]).expected(true, at(9)), 1, "nobody has asked");
        assert_eq!(after(&[]).expected(false, at(9)), 1000 * MILLI, "somebody is asking");
    }
}
