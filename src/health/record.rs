//! What is known of an endpoint's checks: the last hundred, and how all of them ended. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use super::check::{Check, Class};
use super::score::Score;
use crate::telemetry::event::Tokens;
use crate::time::Clocks;
use crate::upstream::sample::Sample;

/// How many checks are kept.
pub const KEPT: usize = 100;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// Oldest first.
    checks: VecDeque<Check>,
    totals: Totals,
}

/// How all checks ended, also those that are not kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    by_class: [u64; Class::ALL.len()],
    /// What all conversations cost.
    pub tokens: Tokens,
}

impl Totals {
    /// How many ended so.
    pub fn of(&self, class: Class) -> u64 {
        Class::ALL.iter().zip(self.by_class).filter(|(of, _)| **of == class).map(|(_, count)| count).sum()
    }

    /// How many there were.
    pub fn all(&self) -> u64 {
        self.by_class.iter().sum()
    }

    /// Counts `count` more that ended so.
    pub fn add(&mut self, class: Class, count: u64) {
        for (of, total) in Class::ALL.iter().zip(&mut self.by_class) {
            if *of == class {
                *total += count;
            }
        }
    }
}

/// Times of answers, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Mean.
    pub average: u64,
    /// Half took no longer.
    pub p50: u64,
    /// 95 of 100 took no longer.
    pub p95: u64,
    /// 99 of 100 took no longer.
    pub p99: u64,
}

impl Times {
    /// Of these; `None` without any. Percentiles by the nearest rank.
    pub fn of(times: impl IntoIterator<Item = Duration>) -> Option<Self> {
        let mut millis: Vec<u64> =
            times.into_iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
        millis.sort_unstable();
        let count = millis.len();
        let rank = |percent: usize| millis[(count * percent).div_ceil(100).max(1) - 1];
        (count > 0).then(|| Self {
            average: millis.iter().sum::<u64>() / count as u64,
            p50: rank(50),
            p95: rank(95),
            p99: rank(99),
        })
    }
}

impl Record {
    /// From what an earlier process kept, oldest first.
    pub fn restored(checks: impl IntoIterator<Item = Check>, totals: Totals) -> Self {
        let mut record = Self { checks: checks.into_iter().collect(), totals };
        record.trim();
        record
    }

    /// Adds a check.
    pub fn add(&mut self, check: Check) {
        self.totals.add(check.class, 1);
        let (sum, cost) = (&mut self.totals.tokens, check.tokens);
        sum.input += cost.input;
        sum.output += cost.output;
        sum.cache_read += cost.cache_read;
        sum.cache_write += cost.cache_write;
        self.checks.push_back(check);
        self.trim();
    }

    /// The kept checks, oldest first.
    pub fn checks(&self) -> impl DoubleEndedIterator<Item = &Check> + ExactSizeIterator {
        self.checks.iter()
    }

    /// The last one.
    pub fn last(&self) -> Option<&Check> {
        self.checks.back()
    }

    /// How all ended.
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Times of the good ones that are kept.
    pub fn times(&self) -> Option<Times> {
        Times::of(self.checks.iter().filter(|check| check.is_good()).map(|check| check.took))
    }

    /// What the score reads: checks that say how well the endpoint does.
    pub fn samples(&self, clocks: Clocks) -> Vec<Sample> {
        let telling = self.checks.iter().filter(|check| check.tells_of_endpoint());
        telling
            .map(|check| Sample { at: clocks.moment_at(check.at), took: check.took, good: check.is_good() })
            .collect()
    }

    /// The score of the checks alone.
    pub fn score(&self, clocks: Clocks) -> Option<Score> {
        Score::of(&self.samples(clocks))
    }

    /// Percent of the kept conversations whose answer held the code; `None` without any.
    pub fn validity(&self) -> Option<f64> {
        share(self.checks.iter().filter_map(|check| check.valid))
    }

    /// Mean quality of the kept conversations; `None` without any.
    pub fn quality(&self) -> Option<f64> {
        let qualities: Vec<f64> = self.checks.iter().filter_map(|check| check.quality).map(f64::from).collect();
        (!qualities.is_empty()).then(|| qualities.iter().sum::<f64>() / qualities.len() as f64)
    }

    fn trim(&mut self) {
        self.checks.drain(..self.checks.len().saturating_sub(KEPT));
    }
}

/// Percent of `true`.
fn share(of: impl Iterator<Item = bool>) -> Option<f64> {
    let all: Vec<bool> = of.collect();
    (!all.is_empty()).then(|| 100.0 * all.iter().filter(|one| **one).count() as f64 / all.len() as f64)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;
    use crate::config::model::ProbeKind;

    pub(in crate::health) fn check(class: Class, millis: u64) -> Check {
        Check {
            at: SystemTime::UNIX_EPOCH,
            kind: ProbeKind::Messages,
            class,
            took: Duration::from_millis(millis),
            quality: Some(if class == Class::Success { 80 } else { 0 }),
            valid: Some(class == Class::Success),
            detail: "".into(),
            tokens: Tokens { input: 20, output: 8, ..Tokens::default() },
        }
    }

    #[test]
    fn a_hundred_are_kept_and_all_are_counted() {
        let mut record = Record::default();
        for n in 0..250 {
            record.add(check(if n % 5 == 0 { Class::Timeout } else { Class::Success }, n));
        }
        assert_eq!((record.checks().len(), record.totals().all()), (KEPT, 250));
        assert_eq!((record.totals().of(Class::Timeout), record.totals().of(Class::Failure)), (50, 0));
        assert_eq!((record.totals().tokens.input, record.totals().tokens.output), (5000, 2000));
        assert_eq!(record.last().map(|check| check.took), Some(Duration::from_millis(249)));
        assert_eq!((record.validity(), record.quality()), (Some(80.0), Some(64.0)));
    }

    #[test]
    fn a_429_says_nothing_about_the_endpoint() {
        let mut record = Record::default();
        for class in [Class::Success, Class::RateLimited, Class::RateLimited] {
            record.add(check(class, 100));
        }
        let score = record.score(Clocks::now()).expect("one tells");
        assert!((score.success - 100.0).abs() < 1e-9 && score.failures == 0);
    }

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let times = |of: std::ops::RangeInclusive<u64>| Times::of(of.map(Duration::from_millis));
        assert_eq!(times(1..=100), Some(Times { average: 50, p50: 50, p95: 95, p99: 99 }));
        assert_eq!(times(7..=7), Some(Times { average: 7, p50: 7, p95: 7, p99: 7 }));
        assert_eq!(times(1..=4), Some(Times { average: 2, p50: 2, p95: 4, p99: 4 }));
        assert_eq!(Times::of([]), None);
    }

    proptest! {
        #[test]
        fn percentiles_are_among_the_times_and_in_order(of in prop::collection::vec(0_u64..100_000, 1..300)) {
            let times = Times::of(of.iter().copied().map(Duration::from_millis)).expect("some");
            prop_assert!(times.p50 <= times.p95 && times.p95 <= times.p99);
            prop_assert!([times.p50, times.p95, times.p99].iter().all(|time| of.contains(time)));
        }
    }
}
