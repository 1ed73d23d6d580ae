//! The process's clock, as decisions see it.
//!
//! Decisions take a [`Moment`]; only tasks ask for [`Moment::now`]. It follows tokio's clock, so paused time in tests
//! is paused here too. [`Clocks`] ties it to the wall clock, for what outlives the process.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

/// How far back before the process's start moments reach: what an earlier process remembered has a moment, too.
const BEFORE: Duration = Duration::from_hours(30 * 24);

/// A point of monotonic time, in milliseconds since 30 days before the process first asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub u64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self::at(Instant::now())
    }

    /// The moment of a clock that was read already.
    pub fn at(instant: Instant) -> Self {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        let origin = *ORIGIN.get_or_init(|| instant);
        Self(millis(BEFORE + instant.saturating_duration_since(origin)))
    }

    /// The time from `earlier` to this, zero if it is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// This moment, `duration` later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// This moment, `duration` earlier; the first one where that would be before it.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

/// The two clocks, read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The process's clock.
    pub moment: Moment,
    /// The wall clock.
    pub time: SystemTime,
}

impl Clocks {
    /// Both clocks, now.
    pub fn now() -> Self {
        Self { moment: Moment::now(), time: SystemTime::now() }
    }

    /// What the wall clock shows, or showed, at `moment`.
    pub fn time_at(self, moment: Moment) -> SystemTime {
        let time = match moment.0.checked_sub(self.moment.0) {
            Some(ahead) => self.time.checked_add(Duration::from_millis(ahead)),
            None => self.time.checked_sub(self.moment.since(moment)),
        };
        time.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The moment at which the wall clock shows, or showed, `time`.
    pub fn moment_at(self, time: SystemTime) -> Moment {
        match time.duration_since(self.time) {
            Ok(ahead) => self.moment.after(ahead),
            Err(behind) => self.moment.before(behind.duration()),
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The time `millis` milliseconds after 1970; 1970 for what is before.
pub fn from_unix_ms(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

/// `time` in milliseconds since 1970, as it is kept and sent; 0 before.
pub fn unix_ms(time: SystemTime) -> i64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_and_its_time_on_the_wall_clock_are_found_from_each_other() {
        let clocks = Clocks { moment: Moment(90_000), time: SystemTime::UNIX_EPOCH + Duration::from_secs(1000) };
        for (moment, seconds) in [(30_000, 940), (90_000, 1000), (95_000, 1005)] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!((clocks.time_at(Moment(moment)), clocks.moment_at(time)), (time, Moment(moment)));
        }
        assert_eq!(clocks.moment_at(SystemTime::UNIX_EPOCH), Moment(0), "before the first moment");
    }

    #[test]
    fn what_an_earlier_process_did_has_a_moment() {
        assert!(Moment::now() > Moment::now().before(Duration::from_hours(24 * 29)));
    }
}
