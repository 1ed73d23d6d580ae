//! Keeps what is to outlive the process: how endpoints and keys stand, their checks and numbers, and the active profile.
//! The next one takes it up as [`super::kept`].
//!
//! Invariants:
//! - nothing waits for it: what changed is noted behind the requests, within seconds, at the end all of it;
//! - a moment is kept as the time of the wall clock, and none in it is of use to another process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::check::{Check, Class, kind_word};
use super::kept::signed;
use super::record::{Record, Totals};
use super::records::Records;
use crate::failover::machine::Memory;
use crate::failover::steering::View;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::store::Store;
use crate::store::checks;
use crate::store::endpoints::{self, Numbers};
use crate::store::keys::{self, Dead, Rest};
use crate::store::lead::{self, Lead};
use crate::time::{Clocks, Moment, unix_ms};
use crate::upstream::breaker::Standing;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::tally::Counts;

/// How often it is looked for changes.
const LOOK: Duration = Duration::from_secs(2);
/// Numbers alone are kept less often.
const NUMBERS: Duration = Duration::from_secs(10);

/// Keeps what changes.
#[derive(Clone, Debug)]
pub struct Keeper {
    /// Where.
    pub store: Store,
    /// What runs.
    pub cell: SnapshotCell,
    /// What is known of checks.
    pub records: Records,
    /// What is known of the active profile.
    pub failover: watch::Receiver<View>,
}

/// What was kept last.
#[derive(Debug, Default)]
struct Last {
    lead: Option<Lead>,
    keys: (Vec<Dead>, Vec<Rest>),
    endpoints: HashMap<EndpointId, (endpoints::Endpoint, Moment)>,
    /// Of each endpoint, when its last check that was kept was.
    checked: HashMap<EndpointId, i64>,
}

impl Keeper {
    /// Keeps what changes until it is dropped.
    pub async fn run(self) {
        let mut last = Last::default();
        let mut failover = self.failover.clone();
        loop {
            self.keep(&mut last, false);
            // A switch is kept at once; without a driver nothing is switched any more.
            let switched = async {
                if failover.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = switched => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Keeps everything, and waits until it is on disk.
    pub async fn finish(&self) {
        self.keep(&mut Last::default(), true);
        if let Err(why) = self.store.flush().await {
            tracing::warn!(%why, "the last changes of state were not kept");
        }
    }

    /// Notes what is other than `last`; numbers only now and then, unless `all` is wanted.
    fn keep(&self, last: &mut Last, all: bool) {
        let (snapshot, clocks) = (self.cell.load(), Clocks::now());
        if let Some(lead) = lead(&snapshot, self.failover.borrow().memory, clocks)
            && last.lead.as_ref() != Some(&lead)
        {
            last.lead = Some(lead.clone());
            self.store.note(move |tx| lead::save(tx, &lead));
        }
        let keys = keys(&snapshot, clocks);
        if all || last.keys != keys {
            last.keys = keys.clone();
            self.store.note(move |tx| keys::replace(tx, &keys.0, &keys.1));
        }
        last.endpoints.retain(|id, _| snapshot.known().any(|endpoint| endpoint.id == *id));
        for endpoint in snapshot.known() {
            self.keep_endpoint(endpoint, last, clocks);
        }
    }

    fn keep_endpoint(&self, endpoint: &Endpoint, last: &mut Last, clocks: Clocks) {
        let record = self.records.of(&endpoint.id).unwrap_or_default();
        let before = last.endpoints.get(&endpoint.id);
        let now = standing(endpoint, &record, clocks);
        let urgent = before.is_none_or(|(before, _)| !is_like(before, &now));
        let grown =
            before.is_none_or(|(before, at)| before.numbers != now.numbers && clocks.moment.since(*at) >= NUMBERS);
        if !urgent && !grown {
            return;
        }
        let is_other = before.is_some_and(|(before, _)| before.identity != now.identity);
        let checked = last.checked.get(&endpoint.id).copied().filter(|_| !is_other).unwrap_or(-1);
        let checks = record.checks().map(|check| stored(&now.endpoint, check)).filter(|check| check.at > checked);
        let checks: Vec<checks::Check> = checks.collect();
        last.checked.extend(checks.last().map(|check| (endpoint.id.clone(), check.at)));
        last.endpoints.insert(endpoint.id.clone(), (now.clone(), clocks.moment));
        let time = unix_ms(clocks.time);
        self.store.note(move |tx| {
            if is_other {
                checks::forget(tx, &now.endpoint)?;
            }
            endpoints::save(tx, &now, time)?;
            checks::append(tx, &now.endpoint, &checks)
        });
    }
}

/// Whether nothing but numbers differs.
fn is_like(before: &endpoints::Endpoint, now: &endpoints::Endpoint) -> bool {
    let numbers = Numbers { checks: now.numbers.checks, ..Numbers::default() };
    let counted = Numbers { checks: before.numbers.checks, ..Numbers::default() };
    let plain = |of: &endpoints::Endpoint| endpoints::Endpoint {
        numbers: Numbers::default(),
        samples: Vec::new(),
        last_error: String::new(),
        last_error_at: None,
        ..of.clone()
    };
    numbers == counted && plain(before) == plain(now)
}

fn lead(snapshot: &Snapshot, memory: Memory, clocks: Clocks) -> Option<Lead> {
    let millis = |moment: Moment| unix_ms(clocks.time_at(moment)) / 1000 * 1000;
    Some(Lead {
        active: snapshot.active_profile()?.name.to_string(),
        pinned: snapshot.pinned,
        switched: memory.switched.map(millis),
        recovered: memory.recovered.map(millis),
        flaps: memory.flaps,
    })
}

fn keys(snapshot: &Snapshot, clocks: Clocks) -> (Vec<Dead>, Vec<Rest>) {
    let millis = |moment: Moment| unix_ms(clocks.time_at(moment)) / 1000 * 1000;
    let by_key: HashMap<u64, &Arc<Endpoint>> =
        snapshot.known().map(|endpoint| (endpoint.key_identity, endpoint)).collect();
    let (mut dead, mut rests) = (Vec::new(), Vec::new());
    for (key, endpoint) in by_key {
        let key = signed(key);
        let death = endpoint.key.death();
        dead.extend(death.map(|(reason, trial)| Dead { key, reason: reason.to_string(), trial: millis(trial) }));
        let resting = endpoint.key.resting(clocks.moment).into_iter();
        rests.extend(resting.map(|(model, until)| Rest { key, model, until: millis(until) }));
    }
    for endpoint in snapshot.known() {
        let blocked = endpoint.state.models_blocked(clocks.moment).into_iter();
        let key = signed(endpoint.identity);
        rests.extend(blocked.map(|(model, until)| Rest { key, model: Some(model), until: millis(until) }));
    }
    dead.sort_by_key(|dead| dead.key);
    rests.sort_by(|a, b| (a.key, &a.model, b.until).cmp(&(b.key, &b.model, a.until)));
    // The same address and key in two profiles: whichever waits longer.
    rests.dedup_by(|later, first| (later.key, &later.model) == (first.key, &first.model));
    (dead, rests)
}

fn standing(endpoint: &Endpoint, record: &Record, clocks: Clocks) -> endpoints::Endpoint {
    let view = endpoint.state.snapshot(clocks.moment);
    // To the second: the clocks differ by a little more or less every time they are read.
    let millis = |moment: Moment| unix_ms(clocks.time_at(moment)) / 1000 * 1000;
    let (until, resting, reason) = match view.standing {
        Standing::Admitting => (None, None, String::new()),
        Standing::Resting { until } => (None, Some(millis(until)), String::new()),
        Standing::Probation { .. } => (view.last_change.map(millis).or(Some(0)), None, "on probation".to_owned()),
        Standing::Ejected { until, reason } => (Some(millis(until)), None, reason.to_string()),
    };
    let samples = endpoint.state.samples().into_iter().map(|sample| {
        let took = u32::try_from(sample.took.as_millis()).unwrap_or(u32::MAX);
        (unix_ms(clocks.time_at(sample.at)), took, sample.good)
    });
    endpoints::Endpoint {
        endpoint: endpoint.id.to_string(),
        identity: signed(endpoint.identity),
        until,
        resting,
        reason,
        ejections: view.ejections,
        factor: view.health.into(),
        last_error: view.last_error.as_ref().map(|(error, _)| error.to_string()).unwrap_or_default(),
        last_error_at: view.last_error.map(|(_, at)| millis(at)),
        samples: samples.collect(),
        numbers: numbers(&view.counts, record.totals()),
    }
}

fn numbers(counts: &Counts, checks: &Totals) -> Numbers {
    Numbers {
        succeeded: counts.succeeded,
        failed: counts.failed,
        rate_limited: counts.rate_limited,
        refused: counts.refused,
        first_byte_ms: counts.first_byte_ms,
        input_tokens: counts.input_tokens,
        output_tokens: counts.output_tokens,
        checks: Class::ALL.map(|class| checks.of(class)),
        check_input_tokens: checks.tokens.input,
        check_output_tokens: checks.tokens.output,
    }
}

fn stored(endpoint: &str, of: &Check) -> checks::Check {
    let tokens = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    checks::Check {
        endpoint: endpoint.to_owned(),
        at: unix_ms(of.at),
        kind: kind_word(of.kind).to_owned(),
        class: of.class.as_str().to_owned(),
        took_ms: u32::try_from(of.took.as_millis()).unwrap_or(u32::MAX),
        quality: of.quality,
        valid: of.valid,
        detail: of.detail.to_string(),
        input_tokens: tokens(of.tokens.input),
        output_tokens: tokens(of.tokens.output),
    }
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
