//! What outlives the process: how endpoints and keys stand, their checks and numbers, and the active profile.
//!
//! Invariants:
//! - what is taken up belongs to the same address and key: it is found by a salted hash of them;
//! - nothing waits for it: what changed is noted behind the requests, within seconds, at the end all of it;
//! - a moment is kept as the time of the wall clock, and none in it is of use to another process.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::check::{Check, Class, kind_word};
use super::factor::Factor;
use super::record::{Record, Totals};
use super::records::Records;
use crate::config::model::ProbeKind;
use crate::failover::machine::Memory;
use crate::failover::steering::View;
use crate::snapshot::{Snapshot, SnapshotCell};
use crate::store::checks;
use crate::store::endpoints::{self, Numbers};
use crate::store::keys::{self, Dead, Rest};
use crate::store::lead::{self, Lead};
use crate::store::{Failure, Store};
use crate::telemetry::event::Tokens;
use crate::time::{Clocks, Moment, from_unix_ms, unix_ms};
use crate::upstream::breaker::Standing;
use crate::upstream::endpoint::{Endpoint, EndpointId};
use crate::upstream::outcome::RateLimit;
use crate::upstream::rest::Scope;
use crate::upstream::sample::Sample;
use crate::upstream::tally::Counts;

/// How often it is looked for changes.
const LOOK: Duration = Duration::from_secs(2);
/// Numbers alone are kept less often.
const NUMBERS: Duration = Duration::from_secs(10);

/// What an earlier process kept.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    lead: Option<Lead>,
    endpoints: Vec<(endpoints::Endpoint, Vec<checks::Check>)>,
    dead: Vec<Dead>,
    rests: Vec<Rest>,
}

impl Kept {
    /// Everything in `store`.
    pub async fn read(store: &Store) -> Result<Self, Failure> {
        store.read(Self::of).await
    }

    /// Everything in the state that is looked at.
    pub fn of(view: &crate::store::View<'_>) -> Result<Self, Failure> {
        let with_checks = |endpoint: endpoints::Endpoint| {
            let checks = checks::last(view, &endpoint.endpoint, u32::MAX)?;
            Ok::<_, Failure>((endpoint, checks))
        };
        let endpoints = endpoints::all(view)?.into_iter().map(with_checks).collect::<Result<_, _>>()?;
        let (dead, rests) = keys::all(view)?;
        Ok(Self { lead: lead::find(view)?, endpoints, dead, rests })
    }

    /// Takes those endpoints of `snapshot` that are `unsure` to be the ones that were kept under their names: whoever only
    /// looks may not know their keys.
    pub fn assume(&mut self, snapshot: &Snapshot, unsure: impl Fn(&Endpoint) -> bool) {
        for endpoint in snapshot.endpoints().filter(|endpoint| unsure(endpoint)) {
            let name = endpoint.id.to_string();
            if let Some((of, _)) = self.endpoints.iter_mut().find(|(of, _)| of.endpoint == name) {
                of.identity = signed(endpoint.identity);
            }
        }
    }

    /// The active profile, and whether it was pinned.
    pub fn active(&self) -> Option<(&str, bool)> {
        self.lead.as_ref().map(|lead| (lead.active.as_str(), lead.pinned))
    }

    /// What the machine of the active profile goes on with, if the profile is still the active one in `snapshot`.
    pub fn memory(&self, snapshot: &Snapshot, clocks: Clocks) -> Memory {
        let active = snapshot.active_profile().map(|profile| &*profile.name);
        let Some(lead) = self.lead.as_ref().filter(|lead| Some(lead.active.as_str()) == active) else {
            return Memory::default();
        };
        let moment = |at: i64| clocks.moment_at(from_unix_ms(at));
        Memory {
            pinned: lead.pinned,
            switched: lead.switched.map(moment),
            recovered: lead.recovered.map(moment),
            flaps: lead.flaps,
        }
    }

    /// Puts endpoints and keys of `snapshot` where they stood, if they are the same. Before anybody is served.
    pub fn restore(&self, snapshot: &Snapshot, records: &Records, clocks: Clocks) {
        let kept: HashMap<&str, _> = self.endpoints.iter().map(|kept| (kept.0.endpoint.as_str(), kept)).collect();
        for endpoint in snapshot.endpoints() {
            let name = endpoint.id.to_string();
            let same = kept.get(name.as_str()).filter(|(of, _)| of.identity == signed(endpoint.identity));
            if let Some((of, checks)) = same {
                restore(endpoint, of, clocks);
                records.restore(&endpoint.id, endpoint.identity, record(of, checks), Factor::restored(of.factor));
                endpoint.state.restore_good_probes(proofs(checks));
            }
            self.restore_key(endpoint, clocks);
            self.restore_models(endpoint, clocks);
        }
    }

    fn restore_models(&self, endpoint: &Endpoint, clocks: Clocks) {
        for rest in self.rests.iter().filter(|rest| rest.key == signed(endpoint.identity)) {
            if let Some(model) = &rest.model {
                endpoint.state.restore_model(model, clocks.moment_at(from_unix_ms(rest.until)), clocks.moment);
            }
        }
    }

    fn restore_key(&self, endpoint: &Endpoint, clocks: Clocks) {
        let (key, now) = (signed(endpoint.key_identity), clocks.moment);
        if let Some(dead) = self.dead.iter().find(|dead| dead.key == key) {
            endpoint.key.restore_death(&dead.reason, clocks.moment_at(from_unix_ms(dead.trial)));
        }
        for rest in self.rests.iter().filter(|rest| rest.key == key) {
            let until = clocks.moment_at(from_unix_ms(rest.until));
            if now < until {
                let limit = RateLimit { wait: Some(until.since(now)), whole_key: rest.model.is_none() };
                endpoint.key.rest(Scope::Own { model: rest.model.as_deref() }, limit, now);
            }
        }
    }
}

fn restore(endpoint: &Endpoint, of: &endpoints::Endpoint, clocks: Clocks) {
    let (state, now) = (&endpoint.state, clocks.moment);
    let moment = |at: i64| clocks.moment_at(from_unix_ms(at));
    let numbers = &of.numbers;
    let counts = Counts {
        succeeded: numbers.succeeded,
        failed: numbers.failed,
        rate_limited: numbers.rate_limited,
        refused: numbers.refused,
        first_byte_ms: numbers.first_byte_ms,
        input_tokens: numbers.input_tokens,
        output_tokens: numbers.output_tokens,
    };
    let samples = of.samples.iter().map(|(at, took, good)| Sample {
        at: moment(*at),
        took: Duration::from_millis((*took).into()),
        good: *good,
    });
    state.restore_requests(&counts, samples);
    if let Some(until) = of.until {
        state.restore(moment(until), &of.reason, of.ejections, now);
    } else if let Some(until) = of.resting {
        state.restore_rest(moment(until), now);
    }
    if let Some(at) = of.last_error_at {
        state.restore_error(&of.last_error, moment(at));
    }
    super::monitor::set(endpoint, Factor::restored(of.factor).applied());
}

/// Good checks in a row at the end; `checks` are the newest first.
fn proofs(checks: &[checks::Check]) -> u32 {
    let telling = checks.iter().filter_map(check).filter(|check| check.kind != ProbeKind::Reachability);
    u32::try_from(telling.take_while(Check::proves).count()).unwrap_or(u32::MAX)
}

fn record(of: &endpoints::Endpoint, checks: &[checks::Check]) -> Record {
    let mut totals = Totals::default();
    for (class, count) in Class::ALL.into_iter().zip(of.numbers.checks) {
        totals.add(class, count);
    }
    totals.tokens.input = of.numbers.check_input_tokens;
    totals.tokens.output = of.numbers.check_output_tokens;
    Record::restored(checks.iter().rev().filter_map(check), totals)
}

/// Forgets, in the state of a file that no proxy runs, what is held against `endpoint` and its key.
pub fn forgive(endpoint: &Endpoint) -> impl FnOnce(&crate::store::Tx<'_>) -> Result<(), Failure> + Send + 'static {
    let name = endpoint.id.to_string();
    let (key, itself) = (signed(endpoint.key_identity), signed(endpoint.identity));
    move |tx| {
        endpoints::forgive(tx, &name)?;
        keys::forgive(tx, key)?;
        keys::forgive(tx, itself)
    }
}

/// A check as it was kept; `None` if its words are none of ours.
pub fn check(of: &checks::Check) -> Option<Check> {
    let kinds = [ProbeKind::Messages, ProbeKind::Models, ProbeKind::Reachability];
    Some(Check {
        at: from_unix_ms(of.at),
        kind: kinds.into_iter().find(|kind| kind_word(*kind) == of.kind)?,
        class: Class::named(&of.class)?,
        took: Duration::from_millis(of.took_ms.into()),
        quality: of.quality,
        valid: of.valid,
        detail: of.detail.as_str().into(),
        tokens: Tokens { input: of.input_tokens.into(), output: of.output_tokens.into(), ..Tokens::default() },
    })
}

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

/// The same bits: the database has no numbers without a sign.
fn signed(hash: u64) -> i64 {
    i64::from_le_bytes(hash.to_le_bytes())
}

#[cfg(test)]
#[path = "keep_tests.rs"]
mod tests;
