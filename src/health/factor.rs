//! What an endpoint's health leaves of its weight, over time. Pure.
//!
//! Falling is quick, since clients pay for it; rising is slow, since the endpoint does. Runtime state: it is never written
//! into the file.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Moment;

/// Within this time it at most doubles.
const DOUBLES_IN: Duration = Duration::from_secs(30);
/// What the last evaluation keeps of its say.
const KEPT: f64 = 0.3;
/// Smaller moves change nothing.
const LEAST_MOVE: f64 = 0.1;
/// So near to the whole weight is the whole weight.
const NEARLY_WHOLE: f64 = 0.95;

/// See the module.
#[derive(Clone, Debug)]
pub struct Factor {
    smoothed: f64,
    applied: f64,
    /// What was applied within the last 30 s, and the value that held when they began.
    recent: VecDeque<(Moment, f64)>,
}

impl Default for Factor {
    fn default() -> Self {
        Self { smoothed: 1.0, applied: 1.0, recent: VecDeque::from([(Moment::default(), 1.0)]) }
    }
}

impl Factor {
    /// One that was `applied` in an earlier process.
    pub fn restored(applied: f64) -> Self {
        let applied = applied.clamp(super::score::LEAST, 1.0);
        Self { smoothed: applied, applied, recent: VecDeque::from([(Moment::default(), applied)]) }
    }

    /// What is applied, 0.1 to 1.
    pub fn applied(&self) -> f64 {
        self.applied
    }

    /// An evaluation aims at `target`. What is applied from now on, if that is something else.
    pub fn aim(&mut self, target: f64, now: Moment) -> Option<f64> {
        self.smoothed = KEPT * self.smoothed + (1.0 - KEPT) * target;
        let whole = target >= 1.0 && self.smoothed >= NEARLY_WHOLE;
        let wanted = if whole { 1.0 } else { self.smoothed };
        let next = wanted.min(self.ceiling(now));
        let moved = (next - self.applied).abs() / self.applied;
        let worth = moved >= LEAST_MOVE || (whole && next >= 1.0 && self.applied < 1.0);
        worth.then(|| self.apply(next, now))
    }

    /// No longer adjusted: back to the whole weight at once. Whether that changes anything.
    pub fn clear(&mut self) -> bool {
        let changed = self.applied < 1.0;
        *self = Self::default();
        changed
    }

    fn apply(&mut self, next: f64, now: Moment) -> f64 {
        self.applied = next;
        self.recent.push_back((now, next));
        next
    }

    /// Twice the least of the last 30 s.
    fn ceiling(&mut self, now: Moment) -> f64 {
        let begin = now.before(DOUBLES_IN);
        while self.recent.get(1).is_some_and(|(at, _)| *at <= begin) {
            self.recent.pop_front();
        }
        2.0 * self.recent.iter().map(|(_, factor)| *factor).fold(1.0, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upstream::fixture::at;

    #[test]
    fn it_falls_at_once_and_doubles_at_most_every_thirty_seconds() {
        let mut factor = Factor::default();
        let fallen: Vec<_> = (0..4).filter_map(|second| factor.aim(0.1, at(second))).collect();
        assert!(fallen.len() == 4 && (fallen[0] - 0.37).abs() < 1e-9 && fallen[3] < 0.11, "{fallen:?}");
        let risen: Vec<_> = (4..200).filter_map(|second| Some((second, factor.aim(1.0, at(second))?))).collect();
        let (times, values): (Vec<u64>, Vec<f64>) = risen.into_iter().unzip();
        assert_eq!(values.last(), Some(&1.0), "the whole weight is reached: {values:?}");
        assert!(times.last().is_some_and(|last| (60..130).contains(last)), "{times:?}");
    }

    #[test]
    fn small_moves_change_nothing_and_the_whole_weight_is_exact() {
        let mut factor = Factor::default();
        assert_eq!(factor.aim(0.95, at(0)), None);
        for second in 1..50 {
            factor.aim(0.5, at(second));
        }
        let before = factor.applied();
        assert_eq!(factor.aim(0.5, at(60)), None);
        assert!((factor.applied() - before).abs() < 1e-9);
        for second in 61..300 {
            factor.aim(1.0, at(second));
        }
        assert!((factor.applied() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn switched_off_it_is_the_whole_weight_again() {
        let mut factor = Factor::restored(0.2);
        assert!(factor.clear() && !factor.clear());
        assert!((factor.applied() - 1.0).abs() < f64::EPSILON);
    }

    proptest! {
        #[test]
        fn it_never_more_than_doubles_within_thirty_seconds(steps in prop::collection::vec((0.1..=1.0, 0_u64..20_000), 1..80)) {
            let (mut factor, mut now, mut applied) = (Factor::default(), Moment(100_000), vec![(Moment(0), 1.0)]);
            for (target, wait) in steps {
                now = now.after(Duration::from_millis(wait));
                if let Some(next) = factor.aim(target, now) {
                    let begin = now.before(DOUBLES_IN);
                    let held = applied.iter().rposition(|(at, _)| *at <= begin).unwrap_or_default();
                    let least = applied[held..].iter().map(|(_, factor)| *factor).fold(1.0, f64::min);
                    prop_assert!(next <= 2.0 * least + 1e-9, "{next} after {least}");
                    prop_assert!((0.1 - 1e-9..=1.0).contains(&next));
                    applied.push((now, next));
                }
            }
        }
    }
}
