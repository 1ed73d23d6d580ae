//! What there is to see of a file: what its running proxy says; without one, what the file says and the state file keeps of
//! the last proxy, put together as the next one would.

use std::sync::Arc;
use std::time::SystemTime;

use super::edit::Failure;
use super::place::{Place, refused};
use super::words::ago;
use crate::admin::client::{Client, ClientError};
use crate::admin::show;
use crate::admin::view::explain::{ExplainQuery, Explanation};
use crate::admin::view::failover::{Failover, Switch};
use crate::admin::view::health::Health;
use crate::admin::view::{Profile, Source, Status, Time};
use crate::config::model::EndpointFields;
use crate::config::{Config, Secret, SecretSpec};
use crate::health::kept::Kept;
use crate::health::records::Records;
use crate::snapshot::Snapshot;
use crate::snapshot::build::{Inputs, build};
use crate::snapshot::secrets;
use crate::store::{salt, switches};
use crate::time::Clocks;
use crate::upstream::endpoint::{Credential, Endpoint};

/// Stands for what a program would print: it is not run, and taken to answer.
const STAND_IN: &str = "printed-by-a-program";

/// See the module.
#[derive(Debug)]
pub(super) struct Seen {
    /// The file.
    pub(super) place: Place,
    by: By,
}

/// Who tells it.
#[derive(Debug)]
enum By {
    Proxy(Client, Box<Status>),
    File(Box<Left>),
}

/// What a file says, and what the last proxy left.
#[derive(Debug)]
struct Left {
    snapshot: Snapshot,
    records: Records,
    since: Option<Time>,
    clocks: Clocks,
    /// When the state was last written, if there is one.
    written: Option<SystemTime>,
}

impl Seen {
    /// Looks. A proxy that runs and does not answer is a failure: what it would say is not guessed.
    pub(super) fn of(place: Place) -> Result<Self, Failure> {
        let asked = place.proxy().and_then(|proxy| {
            let status = proxy.get::<Status>("/v1/status")?;
            Ok((proxy, status))
        });
        let by = match asked {
            Ok((proxy, status)) => By::Proxy(proxy, Box::new(status)),
            Err(ClientError::NotRunning(_)) => By::File(Box::new(Left::read(&place)?)),
            Err(error) => return Err(Failure::CouldNot(error.to_string())),
        };
        Ok(Self { place, by })
    }

    /// What the running proxy says of itself.
    pub(super) fn status(&self) -> Option<&Status> {
        match &self.by {
            By::Proxy(_, status) => Some(status),
            By::File(_) => None,
        }
    }

    /// From when it is, if it is not from now.
    pub(super) fn as_of(&self) -> Option<Time> {
        match &self.by {
            By::Proxy(..) => None,
            By::File(left) => left.written.map(Time),
        }
    }

    /// Says where it is from, if not from a proxy.
    pub(super) fn tell_source(&self) {
        if self.status().is_none() {
            eprintln!("{}", self.source());
        }
    }

    fn source(&self) -> String {
        match self.as_of() {
            Some(written) => {
                let age = ago(written, SystemTime::now());
                format!("No proxy is running: this is from the file, and from the state the last one wrote {age}.")
            }
            None => "No proxy is running, and none has left any state: this is from the file.".to_owned(),
        }
    }

    /// The chain, and how its endpoints stand.
    pub(super) fn profiles(&self) -> Vec<Profile> {
        match &self.by {
            By::Proxy(_, status) => status.profiles.clone(),
            By::File(left) => show::profiles(&left.snapshot, left.clocks),
        }
    }

    /// The profiles that take no traffic.
    pub(super) fn sources(&self) -> Vec<Source> {
        match &self.by {
            By::Proxy(_, status) => status.sources.clone(),
            By::File(left) => show::sources(&left.snapshot),
        }
    }

    /// How the endpoints do.
    pub(super) fn health(&self) -> Result<Health, Failure> {
        match &self.by {
            By::Proxy(proxy, _) => proxy.get("/v1/health").map_err(refused),
            By::File(left) => Ok(show::health(&left.snapshot, &left.records, left.clocks)),
        }
    }

    /// The active profile, with the last `count` switches.
    pub(super) fn failover(&self, count: u32) -> Result<Failover, Failure> {
        match &self.by {
            By::Proxy(proxy, _) => proxy.get(&format!("/v1/failover?n={count}")).map_err(refused),
            By::File(left) => {
                let switches = self.place.read(|view| switches::last(view, count))?.unwrap_or_default();
                Ok(left.failover(switches.into_iter().map(Switch::from).collect()))
            }
        }
    }

    /// Who would serve such a request.
    pub(super) fn explain(&self, query: ExplainQuery) -> Result<Explanation, Failure> {
        match &self.by {
            By::Proxy(proxy, _) => proxy.ask_about("/v1/explain", &query).map_err(refused),
            By::File(left) => Ok(show::explanation(&left.snapshot, query, None, left.clocks)),
        }
    }

    /// The endpoint called so, as it would be run; `None` if a proxy runs, or there is none in the chain.
    pub(super) fn left(&self, name: &str) -> Option<&Arc<Endpoint>> {
        match &self.by {
            By::Proxy(..) => None,
            By::File(left) => left.snapshot.endpoints().find(|endpoint| endpoint.id.to_string() == name),
        }
    }
}

impl Left {
    fn read(place: &Place) -> Result<Self, Failure> {
        let config = place.config()?;
        let directory = place.path().parent().unwrap_or(place.path());
        let resolved = secrets::glance(config, directory, Some(&Secret::new(STAND_IN)));
        let found = place.read_with_age(|view| Ok((Kept::of(view)?, salt::find(view)?)))?;
        let (mut kept, salt, written) = match found {
            Some(((kept, salt), written)) => (kept, salt.unwrap_or_default(), Some(written)),
            None => (Kept::default(), [0; 32], None),
        };
        let inputs = Inputs {
            config: Arc::new(config.clone()),
            resolved: &resolved,
            sha256: &place.loaded().sha256,
            generation: 0,
            salt,
        };
        let snapshot = resumed(&build(&inputs, None), &kept);
        let (records, clocks) = (Records::default(), Clocks::now());
        kept.assume(&snapshot, |endpoint| is_unsure(config, endpoint));
        kept.restore(&snapshot, &records, clocks);
        let since = kept.memory(&snapshot, clocks).switched.map(|moment| Time(clocks.time_at(moment)));
        Ok(Self { snapshot, records, since, clocks, written })
    }

    fn failover(&self, switches: Vec<Switch>) -> Failover {
        let policy = &self.snapshot.config.failover;
        Failover {
            active: self.snapshot.active_profile().map(|profile| profile.name.to_string()),
            pinned: self.snapshot.pinned,
            since: self.since,
            failures: 0,
            failure_threshold: policy.failure_threshold,
            auto_failover: policy.auto_failover,
            auto_recovery: policy.auto_recovery,
            cooldown_s: policy.cooldown.get().as_secs_f64(),
            cooldown_until: None,
            candidate: None,
            switches,
        }
    }
}

/// With the active profile of the last proxy, as the next one takes it up.
fn resumed(first: &Snapshot, kept: &Kept) -> Snapshot {
    let stays = kept.active().and_then(|(name, pinned)| {
        let at = first.chain.iter().position(|profile| *profile.name == *name && !profile.endpoints.is_empty())?;
        Some((at, pinned))
    });
    stays.map_or_else(|| first.with_active(first.active, false), |(at, pinned)| first.with_active(at, pinned))
}

/// Whether the key is known only to the proxy, so that it cannot be told whether it is still the same.
fn is_unsure(config: &Config, endpoint: &Endpoint) -> bool {
    let fields = fields(config, &endpoint.id.profile, &endpoint.id.id);
    let program = fields.is_some_and(|fields| matches!(fields.api_key, Some(SecretSpec::Command(_))));
    program || matches!(endpoint.credential, Credential::Missing(_))
}

/// What the file says of the endpoint `id` of `profile`.
fn fields<'c>(config: &'c Config, profile: &str, id: &str) -> Option<&'c EndpointFields> {
    let spec = config.profiles.get(profile)?;
    let listed = spec.endpoints.iter().find(|endpoint| endpoint.id == id).map(|endpoint| &endpoint.fields);
    listed.or_else(|| spec.shorthand.as_deref().filter(|_| id == profile))
}
