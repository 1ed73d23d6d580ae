//! Successes and failures of the last 60 seconds, in ten buckets of six.
//!
//! Exact buckets, because a moving average hides a tight burst. Each bucket is one atomic word, so that workers record
//! without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::time::Moment;

const BUCKETS: usize = 10;
const BUCKET_MILLIS: u64 = 6_000;
const LEAST_SAMPLES: u64 = 20;

/// A count takes 20 bits, above them a stamp tells which six seconds the bucket is about.
const COUNT_BITS: u32 = 20;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Window([AtomicU64; BUCKETS]);

impl Window {
    /// Counts one request that ended well or not.
    pub(super) fn record(&self, success: bool, now: Moment) {
        let stamp = stamp(now);
        let one = if success { 1 } else { 1 << COUNT_BITS };
        let bucket = &self.0[usize::try_from(stamp).unwrap_or_default() % BUCKETS];
        let counted = |word: u64| {
            let word = if word >> (2 * COUNT_BITS) == stamp { word } else { stamp << (2 * COUNT_BITS) };
            let (good, bad) = counts(word);
            (good.max(bad) < COUNT_MASK).then_some(word + one)
        };
        // A full bucket stays as it is: a million requests in six seconds tell enough.
        let _ = bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, counted);
    }

    /// Successes and failures of the last minute.
    pub(super) fn counts(&self, now: Moment) -> (u64, u64) {
        let now = stamp(now);
        let words = self.0.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let recent = words.filter(|word| now.saturating_sub(word >> (2 * COUNT_BITS)) < BUCKETS as u64);
        recent.map(counts).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    /// Whether, of enough requests, less than half succeeded.
    pub(super) fn is_poor(&self, now: Moment) -> bool {
        let (good, bad) = self.counts(now);
        good + bad >= LEAST_SAMPLES && good < bad
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        for bucket in &self.0 {
            bucket.store(0, Ordering::Relaxed);
        }
    }
}

fn stamp(now: Moment) -> u64 {
    // Stamps start at one, so that an untouched bucket belongs to no time (and to no count: it is zero).
    now.0 / BUCKET_MILLIS + 1
}

fn counts(word: u64) -> (u64, u64) {
    (word & COUNT_MASK, word >> COUNT_BITS & COUNT_MASK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::fixture::at;

    #[test]
    fn samples_are_counted_for_a_minute() {
        let window = Window::default();
        window.record(true, at(0));
        window.record(false, at(30));
        assert_eq!((window.counts(at(30)), window.counts(at(59)), window.counts(at(60))), ((1, 1), (1, 1), (0, 1)));
        assert_eq!(window.counts(at(1_000_000)), (0, 0));
        window.clear();
        assert_eq!(window.counts(at(30)), (0, 0));
    }

    #[test]
    fn the_rate_is_poor_below_half_of_at_least_twenty() {
        for (good, bad, poor) in [(9, 10, false), (9, 11, true), (10, 10, false), (0, 19, false), (0, 20, true)] {
            let window = Window::default();
            (0..good).for_each(|_| window.record(true, at(7)));
            (0..bad).for_each(|_| window.record(false, at(13)));
            assert_eq!(window.is_poor(at(14)), poor, "{good} good, {bad} bad");
        }
    }

    proptest! {
        #[test]
        fn buckets_count_what_a_list_would(samples in prop::collection::vec((any::<bool>(), 0_u64..20_000), 0..200)) {
            let (window, mut now, mut list) = (Window::default(), Moment(0), Vec::new());
            for (success, wait) in samples {
                now = Moment(now.0 + wait);
                window.record(success, now);
                list.push((success, now.0 / BUCKET_MILLIS));
                let recent = list.iter().filter(|(_, bucket)| bucket + 10 > now.0 / BUCKET_MILLIS);
                let good = recent.clone().filter(|(success, _)| *success).count() as u64;
                prop_assert_eq!(window.counts(now), (good, recent.count() as u64 - good));
            }
        }
    }
}
