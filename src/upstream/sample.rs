//! The last requests of an endpoint as they went: when, how long, well or not.
//!
//! Each is one atomic word in a ring, so that workers record without a lock and a reader may come at any time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::Moment;

/// How many are kept.
pub const KEPT: usize = 100;

const TOOK_BITS: u32 = 23;
const TOOK_MASK: u64 = (1 << TOOK_BITS) - 1;
const AT_MASK: u64 = (1 << 40) - 1;

/// How one request, or one check, went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was over.
    pub at: Moment,
    /// Time to the first byte of a good answer; to the failure of another. At most 2 h.
    pub took: Duration,
    /// Whether the endpoint did its job.
    pub good: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Samples {
    next: AtomicU64,
    words: [AtomicU64; KEPT],
}

impl Default for Samples {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Samples {
    /// Adds one, in the place of the oldest.
    pub(super) fn record(&self, sample: Sample) {
        let place = self.next.fetch_add(1, Ordering::Relaxed) % KEPT as u64;
        self.words[usize::try_from(place).unwrap_or_default()].store(pack(sample), Ordering::Relaxed);
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Vec<Sample> {
        let words = self.words.iter().map(|word| word.load(Ordering::Relaxed));
        let mut samples: Vec<_> = words.filter(|word| *word != 0).map(unpack).collect();
        samples.sort_by_key(|sample| sample.at);
        samples
    }

    /// When the last one was over.
    pub(super) fn last(&self) -> Option<Moment> {
        let next = self.next.load(Ordering::Relaxed);
        let place = usize::try_from(next.checked_sub(1)? % KEPT as u64).unwrap_or_default();
        Some(self.words[place].load(Ordering::Relaxed)).filter(|word| *word != 0).map(|word| unpack(word).at)
    }
}

/// The moment above the milliseconds above whether it went well.
fn pack(Sample { at, took, good }: Sample) -> u64 {
    let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).min(TOOK_MASK);
    (at.0 & AT_MASK) << (TOOK_BITS + 1) | took << 1 | u64::from(good)
}

fn unpack(word: u64) -> Sample {
    let took = Duration::from_millis(word >> 1 & TOOK_MASK);
    Sample { at: Moment(word >> (TOOK_BITS + 1)), took, good: word & 1 == 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fixture::at;

    fn sample(seconds: u64, millis: u64, good: bool) -> Sample {
        Sample { at: at(seconds), took: Duration::from_millis(millis), good }
    }

    #[test]
    fn the_last_ones_are_kept_in_their_order() {
        let samples = Samples::default();
        assert_eq!((samples.list(), samples.last()), (Vec::new(), None));
        for n in 1..=250 {
            samples.record(sample(n, n, n % 3 == 0));
        }
        let expected: Vec<_> = (151..=250).map(|n| sample(n, n, n % 3 == 0)).collect();
        assert_eq!((samples.list(), samples.last()), (expected, Some(at(250))));
    }

    #[test]
    fn a_very_long_one_counts_as_two_hours() {
        let samples = Samples::default();
        samples.record(Sample { at: Moment::now(), took: Duration::from_hours(9), good: true });
        let [Sample { took, good: true, .. }] = samples.list()[..] else { panic!("one") };
        assert!(took > Duration::from_hours(2) && took < Duration::from_hours(3));
    }
}
