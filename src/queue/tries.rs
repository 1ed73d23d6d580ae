//! The tries of one request, each with its time, until they are kept with its entry.

use std::time::{Duration, SystemTime};

use crate::dispatch::journal::Journal;
use crate::dispatch::relay::Body;
use crate::store::attempts::Attempt;
use crate::telemetry::event::AttemptRecord;
use crate::time::unix_ms;
use crate::upstream::outcome::Outcome;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Tries {
    /// When the request was accepted.
    accepted: SystemTime,
    records: Vec<AttemptRecord>,
}

impl Tries {
    /// None yet.
    pub(super) fn none() -> Self {
        Self { accepted: SystemTime::now(), records: Vec::new() }
    }

    /// Those that `journal` tells of.
    pub(super) fn of(journal: &Journal) -> Self {
        let now = SystemTime::now();
        Self {
            accepted: now.checked_sub(journal.accepted().elapsed()).unwrap_or(now),
            records: journal.record.attempts.clone(),
        }
    }

    /// Those that led to an answer, of which the last is still under way.
    pub(super) fn before(answer: &Body) -> Self {
        answer.journal().map_or_else(Self::none, Self::of)
    }

    /// Whether nobody was asked.
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The answer of the last has become whole now.
    #[must_use]
    pub(super) fn whole(self) -> Self {
        self.ended(&Outcome::Success, "")
    }

    /// The answer of the last has not become whole.
    #[must_use]
    pub(super) fn cut(self, why: &str) -> Self {
        self.ended(&Outcome::Server { retry_after: None }, why)
    }

    /// The last ends now, unless that is known better already.
    fn ended(mut self, outcome: &Outcome, detail: &str) -> Self {
        let age = self.accepted.elapsed().unwrap_or_default();
        let decided: Duration = self.records.iter().map(|record| record.took).sum();
        if let Some(last) = self.records.last_mut().filter(|last| last.outcome == Outcome::Cancelled.as_str()) {
            last.took += age.saturating_sub(decided);
            last.outcome = outcome.as_str();
            detail.clone_into(&mut last.detail);
        }
        self
    }

    /// Why the last of them failed.
    pub(super) fn reason(&self) -> String {
        let Some(last) = self.records.last() else { return "no endpoint takes requests".to_owned() };
        format!("{}: {}", last.endpoint, if last.detail.is_empty() { last.outcome } else { &last.detail })
    }

    /// As they are kept.
    pub(super) fn attempts(&self) -> Vec<Attempt> {
        let mut at = self.accepted;
        let attempt = |record: &AttemptRecord| {
            at += record.took;
            Attempt {
                at: unix_ms(at),
                endpoint: record.endpoint.clone(),
                outcome: record.outcome.to_owned(),
                status: record.status,
                detail: record.detail.clone(),
            }
        };
        self.records.iter().map(attempt).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(endpoint: &str, outcome: &'static str, seconds: u64) -> AttemptRecord {
        let (endpoint, took) = (endpoint.to_owned(), Duration::from_secs(seconds));
        AttemptRecord { endpoint, outcome, status: 0, detail: String::new(), took }
    }

    #[test]
    fn each_try_has_a_time_of_its_own() {
        let accepted = SystemTime::now() - Duration::from_mins(1);
        let tries = Tries { accepted, records: vec![record("p/a", "local", 2), record("p/b", "cancelled", 3)] };
        assert_eq!(tries.reason(), "p/b: cancelled");
        let times = |tries: &Tries| tries.attempts().iter().map(|one| one.at - unix_ms(accepted)).collect::<Vec<_>>();
        assert_eq!(times(&tries), [2000, 5000]);
        let whole = tries.clone().whole();
        assert!(whole.attempts()[1].outcome == "success" && times(&whole)[1] >= 60_000, "it ended when it was whole");
        let cut = tries.cut("x").whole();
        assert_eq!((cut.reason(), cut.attempts()[1].outcome.as_str()), ("p/b: x".to_owned(), "server"));
    }
}
