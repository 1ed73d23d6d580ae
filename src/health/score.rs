//! How well an endpoint does, as one number: the formulas of the tool qcc replaces, with its missing factor added. Pure.
//!
//! Units: milliseconds and percent. All scores are in 0 to 100.

use std::time::Duration;

use crate::time::Moment;
use crate::upstream::sample::Sample;

/// The last checks or requests that count.
pub const RECENT: usize = 20;

/// How long a sample tells how an endpoint does.
pub const CURRENT: Duration = Duration::from_hours(1);

/// The score at and above which an endpoint has its whole weight.
pub const FULL: f64 = 70.0;
/// The least share of its weight an endpoint is left with.
pub const LEAST: f64 = 0.1;

/// What is read from the last samples of an endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// How steadily it answers, 0 to 100.
    pub stability: f64,
    /// Health score, 0 to 100.
    pub health: f64,
    /// Percent of good ones.
    pub success: f64,
    /// Mean time of the good ones, in milliseconds.
    pub mean_ms: f64,
    /// Failures in a row, up to now.
    pub failures: u32,
    /// Successes in a row, up to now.
    pub successes: u32,
}

impl Score {
    /// From samples in their order, oldest first, of which the last [`RECENT`] count; `None` without any.
    pub fn of(samples: &[Sample]) -> Option<Self> {
        let recent = &samples[samples.len().saturating_sub(RECENT)..];
        if recent.is_empty() {
            return None;
        }
        let times: Vec<f64> =
            recent.iter().filter(|sample| sample.good).map(|sample| sample.took.as_secs_f64() * 1000.0).collect();
        let success = 100.0 * times.len() as f64 / recent.len() as f64;
        let (mean_ms, spread) = mean_and_spread(&times);
        let failures = in_a_row(samples, false);
        let stability = if times.is_empty() { 0.0 } else { stability(success, spread, failures) };
        let health = health(mean_ms, success, stability, failures, !times.is_empty());
        Some(Self { stability, health, success, mean_ms, failures, successes: in_a_row(samples, true) })
    }

    /// The share of its weight that this leaves an endpoint, 0.1 to 1: clamp(score / 70).
    pub fn factor(&self) -> f64 {
        (self.health / FULL).clamp(LEAST, 1.0)
    }
}

/// What tells how an endpoint does now: requests of the last hour, else checks of it. Older ones say how it was: an endpoint
/// that nobody asks is not ill for what it did then.
pub fn current<'s>(requests: &'s [Sample], checks: &'s [Sample], now: Moment) -> &'s [Sample] {
    let fresh = |samples: &'s [Sample]| {
        let old = samples.iter().take_while(|sample| now.since(sample.at) > CURRENT).count();
        &samples[old..]
    };
    let requests = fresh(requests);
    if requests.is_empty() { fresh(checks) } else { requests }
}

/// min(100, 0.5 x success + 30 x max(0, 1 - stdev/mean) + max(0, 20 - 5 x failures in a row)).
fn stability(success: f64, spread: f64, failures: u32) -> f64 {
    let steady = 30.0 * (1.0 - spread).max(0.0);
    let calm = (20.0 - 5.0 * f64::from(failures)).max(0.0);
    (0.5 * success + steady + calm).min(100.0)
}

/// (0.3 x response + 0.4 x success + 0.2 x stability + 0.1 x recency) x penalty.
fn health(mean_ms: f64, success: f64, stability: f64, failures: u32, answered: bool) -> f64 {
    let response = if answered { (100.0 - (mean_ms - 200.0) / 100.0 * 10.0).clamp(0.0, 100.0) } else { 0.0 };
    let recency = (100.0 - 25.0 * f64::from(failures)).max(0.0);
    let penalty = (1.0 - 0.2 * f64::from(failures)).max(0.2);
    (0.3 * response + 0.4 * success + 0.2 * stability + 0.1 * recency) * penalty
}

/// Mean, and standard deviation over mean; zero spread of a single one.
fn mean_and_spread(times: &[f64]) -> (f64, f64) {
    if times.is_empty() {
        return (0.0, 0.0);
    }
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / count;
    (mean, if mean > 0.0 { variance.sqrt() / mean } else { 0.0 })
}

fn in_a_row(samples: &[Sample], good: bool) -> u32 {
    let row = samples.iter().rev().take_while(|sample| sample.good == good).count();
    u32::try_from(row).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::fixture::at;

    /// Good ones by their milliseconds, `-1` for a bad one.
    fn samples(of: &[i64]) -> Vec<Sample> {
        let sample = |(nth, millis): (usize, &i64)| Sample {
            at: at(nth as u64),
            took: Duration::from_millis(u64::try_from(*millis).unwrap_or(50)),
            good: *millis >= 0,
        };
        of.iter().enumerate().map(sample).collect()
    }

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-6
    }

    #[test]
    fn the_formulas_are_those_written_down() {
        for (of, stability, health) in [
            // 0.5 x 100 + 30 + 20; (0.3 x 100 + 0.4 x 100 + 0.2 x 100 + 0.1 x 100).
            (vec![200, 200], 100.0, 100.0),
            (vec![100], 100.0, 100.0),
            // response = 100 - (700 - 200) / 10 = 50.
            (vec![700], 100.0, 85.0),
            (vec![1200, 1200, 1200], 100.0, 70.0),
            (vec![60_000], 100.0, 70.0),
            // stdev / mean = 100 / 300.
            (vec![200, 400], 90.0, 0.3 * 90.0 + 40.0 + 18.0 + 10.0),
            // Half failed, one of them last: 25 + 30 + 15; recency 75, penalty 0.8.
            (vec![200, -1], 70.0, (30.0 + 20.0 + 14.0 + 7.5) * 0.8),
            (vec![-1, 200], 75.0, 30.0 + 20.0 + 15.0 + 10.0),
            (vec![-1, -1], 0.0, (0.1 * 50.0) * 0.6),
            (vec![-1; 9], 0.0, 0.0),
        ] {
            let score = Score::of(&samples(&of)).expect("samples");
            assert!(close(score.stability, stability), "{of:?}: {score:?}");
            assert!(close(score.health, health), "{of:?}: {score:?}");
        }
        assert_eq!(Score::of(&[]), None);
    }

    #[test]
    fn only_the_last_twenty_count_for_the_rate_and_rows_go_further_back() {
        let of: Vec<_> = std::iter::repeat_n(-1, 30).chain(std::iter::repeat_n(100, 20)).collect();
        let score = Score::of(&samples(&of)).expect("samples");
        assert!(close(score.success, 100.0) && close(score.health, 100.0));
        let score = Score::of(&samples(&[-1; 50])).expect("samples");
        assert_eq!((score.failures, score.successes), (50, 0));
    }

    #[test]
    fn a_healthy_endpoint_has_its_whole_weight_however_slow_and_a_dead_one_a_tenth() {
        for (of, factor) in [(vec![5000; 20], 1.0), (vec![-1; 20], 0.1), (vec![100; 3], 1.0)] {
            assert!(close(Score::of(&samples(&of)).expect("samples").factor(), factor), "{of:?}");
        }
    }

    #[test]
    fn what_is_older_than_an_hour_says_nothing_and_checks_speak_where_requests_do_not() {
        let (requests, checks) = (samples(&[-1, -1, 100]), samples(&[200]));
        let told = |now: u64| current(&requests, &checks, at(now));
        assert_eq!(told(3600), requests);
        assert_eq!(told(3601), &requests[1..]);
        assert_eq!(told(3603), [], "nobody has anything to say");
        let later = [Sample { at: at(3000), ..checks[0] }];
        assert_eq!(current(&requests, &later, at(3603)), later);
        assert_eq!(current(&requests, &later, at(3602)), &requests[2..]);
    }

    proptest! {
        #[test]
        fn scores_stay_in_range_and_a_failure_never_raises_them(of in prop::collection::vec(-1_i64..9000, 1..60)) {
            let mut list = samples(&of);
            let score = Score::of(&list).expect("samples");
            for value in [score.stability, score.health, score.success] {
                prop_assert!((0.0..=100.0).contains(&value), "{score:?}");
            }
            prop_assert!((0.1..=1.0).contains(&score.factor()));
            let bad = Sample { good: false, ..list[list.len() - 1] };
            list.push(bad);
            let worse = Score::of(&list).expect("samples");
            if list.len() <= RECENT {
                prop_assert!(worse.health <= score.health + 1e-9, "{score:?} {worse:?}");
            }
        }
    }
}
