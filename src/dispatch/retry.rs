//! The budget for tries that are not free: repeats on an endpoint already tried, and last-resort tries.
//!
//! First tries on admitting endpoints are free, since ejection keeps the dead ones out; the budget bounds the rest to a
//! share of the requests of the last ten seconds, so that an outage never becomes a storm (`RELIABILITY`: attempts).

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::time::Moment;

/// Seconds that count.
const WINDOW: usize = 10;

/// Tries that are always granted within a window.
const FLOOR: u32 = 3;

/// Counts requests and repeats by second. Shared by all workers; figures may be off by the requests of one instant.
#[derive(Debug, Default)]
pub struct Budget {
    seconds: [Second; WINDOW],
}

#[derive(Debug, Default)]
struct Second {
    stamp: AtomicU64,
    requests: AtomicU32,
    repeats: AtomicU32,
}

impl Budget {
    /// Counts a request.
    pub fn request(&self, now: Moment) {
        self.second(now).requests.fetch_add(1, Relaxed);
    }

    /// Asks for one more try; `share` is the part of the requests that may be repeated. A granted try is counted.
    pub fn grant(&self, share: f64, now: Moment) -> bool {
        let (mut requests, mut repeats) = (0_u32, 0_u32);
        let newest = now.0 / 1000;
        for second in &self.seconds {
            if newest.saturating_sub(second.stamp.load(Relaxed)) < WINDOW as u64 {
                requests += second.requests.load(Relaxed);
                repeats += second.repeats.load(Relaxed);
            }
        }
        let granted = f64::from(repeats) < (f64::from(requests) * share).max(f64::from(FLOOR));
        if granted {
            self.second(now).repeats.fetch_add(1, Relaxed);
        }
        granted
    }

    /// The slot of `now`, emptied if it still holds an older second.
    fn second(&self, now: Moment) -> &Second {
        let stamp = now.0 / 1000;
        let second = &self.seconds[usize::try_from(stamp % WINDOW as u64).unwrap_or_default()];
        let old = second.stamp.load(Relaxed);
        if old != stamp && second.stamp.compare_exchange(old, stamp, Relaxed, Relaxed).is_ok() {
            second.requests.store(0, Relaxed);
            second.repeats.store(0, Relaxed);
        }
        second
    }
}

/// Longest pause before repeat number `nth` (from 0): 100 ms doubling to one second; `jitter` in 0..1 picks from it.
pub fn pause(nth: u32, jitter: f64) -> Duration {
    let longest = Duration::from_millis(100).saturating_mul(1 << nth.min(10)).min(Duration::from_secs(1));
    longest.mul_f64(jitter.clamp(0.0, 1.0))
}

/// How long a request that failed everywhere waits before its second chance number `nth` (from 0): one second doubling to
/// five, by a quarter more or less as `chance` in 0..1 has it.
pub fn breather(nth: u32, chance: f64) -> Duration {
    let middle = Duration::from_secs(1).saturating_mul(1 << nth.min(3)).min(Duration::from_secs(5));
    middle.mul_f64(0.75 + 0.5 * chance.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_a_share_of_the_requests_of_the_last_ten_seconds() {
        let budget = Budget::default();
        let mut granted = 0;
        for request in 0..1000 {
            let now = Moment(100_000 + request * 10);
            budget.request(now);
            granted += u32::from(budget.grant(0.2, now));
        }
        assert!((195..=205).contains(&granted), "{granted}");
        let later = Moment(200_000);
        assert_eq!((0..10).filter(|_| budget.grant(0.2, later)).count(), 3, "the floor");
    }

    #[test]
    fn pauses_double_to_a_second_and_take_the_jitter() {
        let longest: Vec<u128> = (0..6).map(|nth| pause(nth, 1.0).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pause(3, 0.0), Duration::ZERO);
    }

    #[test]
    fn breathers_double_to_five_seconds() {
        let middle: Vec<u128> = (0..6).map(|nth| breather(nth, 0.5).as_millis()).collect();
        assert_eq!(middle, [1000, 2000, 4000, 5000, 5000, 5000]);
        assert_eq!((breather(0, 0.0).as_millis(), breather(9, 1.0).as_millis()), (750, 6250));
    }
}
