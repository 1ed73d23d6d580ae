//! When a stored request is tried again, and when it is given up. Pure.

use std::time::Duration;

use crate::config::model::{Queue as Config, QueueStrategy};

/// The soonest a postponed entry is looked at again, and the latest.
const POSTPONED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// When it is looked at again where nobody knows when somebody takes it.
const UNKNOWN: Duration = Duration::from_secs(5);

/// What becomes of an entry whose try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is tried again after this pause, having used up so many retries.
    Again(Duration, u32),
    /// It has used up all of them.
    Dead(u32),
}

/// How long from the failure before retry number `nth` (from 0) it begins; by a tenth more or less as `chance` in 0..1 has
/// it.
pub(super) fn pause(config: &Config, nth: u32, chance: f64) -> Duration {
    let base = config.base.get();
    let pause = match config.strategy {
        QueueStrategy::Exponential => {
            let doubled = base.checked_mul(1_u32.checked_shl(nth).unwrap_or(u32::MAX)).unwrap_or(Duration::MAX);
            doubled.min(config.max_delay.get())
        }
        QueueStrategy::Fixed => base,
        QueueStrategy::Immediate => Duration::ZERO,
    };
    pause.mul_f64(0.9 + 0.2 * chance.clamp(0.0, 1.0))
}

/// What follows from a retry that failed. Only one that met an endpoint not in doubt uses up a retry: in an outage all of
/// them are, and nothing is given up.
pub(super) fn after_failure(config: &Config, retries: u32, tried: bool, chance: f64) -> Next {
    let used = retries + u32::from(tried);
    if used >= config.max_retries && tried {
        return Next::Dead(used);
    }
    Next::Again(pause(config, used, chance).max(if tried { Duration::ZERO } else { POSTPONED.0 }), used)
}

/// How long an entry that is due waits while nobody takes it; `soonest` is when somebody is expected to.
pub(super) fn postponed(soonest: Option<Duration>) -> Duration {
    soonest.unwrap_or(UNKNOWN).clamp(POSTPONED.0, POSTPONED.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(strategy: QueueStrategy) -> Config {
        Config { strategy, ..Config::default() }
    }

    fn pauses(strategy: QueueStrategy, chance: f64) -> Vec<u128> {
        (0..9).map(|nth| pause(&config(strategy), nth, chance).as_millis()).collect()
    }

    #[test]
    fn each_strategy_has_its_times() {
        use QueueStrategy::{Exponential, Fixed, Immediate};
        let doubling = [5, 10, 20, 40, 80, 160, 300, 300, 300].map(|seconds| seconds * 1000);
        assert_eq!(pauses(Exponential, 0.5), doubling);
        assert_eq!(pauses(Exponential, 0.0), doubling.map(|millis| millis * 9 / 10));
        assert_eq!(pauses(Exponential, 1.0), doubling.map(|millis| millis * 11 / 10));
        assert_eq!(pauses(Fixed, 0.5), [5000; 9]);
        assert_eq!(pauses(Immediate, 0.5), [0; 9]);
        assert_eq!(pause(&config(Exponential), u32::MAX, 0.5), Duration::from_mins(5), "no overflow");
    }

    #[test]
    fn an_entry_is_given_up_after_its_retries_and_not_before() {
        let config = config(QueueStrategy::Fixed);
        let mut retries = 0;
        for expected in 1..5 {
            let Next::Again(_, used) = after_failure(&config, retries, true, 0.5) else { panic!("{expected}") };
            assert_eq!(used, expected);
            retries = used;
        }
        assert_eq!(after_failure(&config, retries, true, 0.5), Next::Dead(5));
        let none = Config { max_retries: 0, ..config };
        assert_eq!(after_failure(&none, 0, true, 0.5), Next::Dead(1));
    }

    #[test]
    fn a_try_at_endpoints_in_doubt_uses_up_nothing() {
        let config = config(QueueStrategy::Immediate);
        assert_eq!(after_failure(&config, 4, false, 0.5), Next::Again(POSTPONED.0, 4));
        assert_eq!(after_failure(&config, 5, false, 0.5), Next::Again(POSTPONED.0, 5));
    }

    #[test]
    fn what_is_postponed_is_looked_at_when_somebody_is_expected() {
        for (soonest, wait) in [(None, 5), (Some(0), 1), (Some(12), 12), (Some(400), 30)] {
            assert_eq!(postponed(soonest.map(Duration::from_secs)), Duration::from_secs(wait), "{soonest:?}");
        }
    }
}
