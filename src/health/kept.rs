//! What an earlier process kept, and how the next one goes on with it.
//!
//! Invariant: what is taken up belongs to the same address and key: it is found by a salted hash of them.

use std::collections::HashMap;
use std::time::Duration;

use super::check::{Check, Class, kind_word};
use super::factor::Factor;
use super::record::{Record, Totals};
use super::records::Records;
use crate::config::model::ProbeKind;
use crate::failover::machine::Memory;
use crate::snapshot::Snapshot;
use crate::store::keys::{self, Dead, Rest};
use crate::store::lead::{self, Lead};
use crate::store::{Failure, Store, checks, endpoints};
use crate::telemetry::event::Tokens;
use crate::time::{Clocks, from_unix_ms};
use crate::upstream::endpoint::Endpoint;
use crate::upstream::outcome::RateLimit;
use crate::upstream::rest::Scope;
use crate::upstream::sample::Sample;
use crate::upstream::tally::Counts;

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

/// The same bits: the database has no numbers without a sign.
pub(super) fn signed(hash: u64) -> i64 {
    i64::from_le_bytes(hash.to_le_bytes())
}
