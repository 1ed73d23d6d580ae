//! The one task that publishes snapshots: a saved file, a secret that changed, a switch of the active profile. Being one
//! task, it never lets them race.
//!
//! - A file that is wrong changes nothing; the old one keeps serving, and everybody is told.
//! - Everything new is built before anything is swapped, by one store.
//! - Every accepted text is a generation, also one that says the same; every publication is an epoch.
//! - Files are followed from before they are read: no change falls in between.
//!
//! It does not decide which profile should be active, and does not wait for slow programs: an endpoint whose key is
//! still being fetched comes in later.

mod control;
mod news;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use self::control::Order;
pub use self::control::{Control, Rejection, ReloadStatus, Switch, Verdict};
use self::news::news;
use super::accepted::{Accepted, Revision};
use super::build::{Inputs, build};
use super::changes::{changes, cold};
use super::secrets::{Resolved, Secrets, Unresolved};
use super::spec::endpoints;
use super::watch::{Change, Mode, Watch};
use super::{Snapshot, SnapshotCell};
use crate::config::{self, Config, Loaded, Secret, SecretSpec};
use crate::telemetry::event::{Event, Events};
use crate::upstream::endpoint::EndpointId;
use crate::upstream::profile::Profile;

/// How long keeping an accepted file may hold up the next one.
const KEEPING: Duration = Duration::from_secs(1);
/// How long a reload waits for programs that print keys.
const PATIENCE: Duration = Duration::from_millis(250);
/// More changes are only counted.
const TOLD: usize = 50;

/// Owns what snapshots are built from.
pub struct Publisher {
    path: Arc<Path>,
    watch: Watch,
    secrets: Secrets,
    resolved: Resolved,
    /// The file the process was started with: what cannot change while it runs.
    started: Arc<Config>,
    cell: SnapshotCell,
    events: Events,
    status: watch::Sender<ReloadStatus>,
    orders: mpsc::UnboundedReceiver<Order>,
    control: Control,
    /// What hashes of secrets are salted with.
    salt: [u8; 32],
    /// Where accepted files are kept.
    accepted: Option<Accepted>,
    /// The first file, until it is kept.
    unkept: Option<Arc<str>>,
}

/// What is known of an instance from before this process.
#[derive(Default)]
pub struct Past {
    /// Where accepted files are kept; without it none is.
    pub accepted: Option<Accepted>,
    /// The newest of them.
    pub latest: Option<Revision>,
    /// The file to open is that one, because the real one is not valid.
    pub last_good: bool,
    /// What its hashes of secrets are salted with.
    pub salt: [u8; 32],
}

impl Past {
    /// The generation of the file with this SHA-256.
    fn generation(&self, sha256: &str) -> u64 {
        self.latest.as_ref().map_or(1, |latest| latest.number + u64::from(latest.sha256 != sha256))
    }
}

impl Publisher {
    /// Builds the first snapshot from `loaded`, waiting for programs that print keys. Gives a file with errors back.
    pub async fn open(mut loaded: Loaded, past: Past, events: Events) -> Result<Self, Box<Loaded>> {
        let Some(config) = loaded.config.take().map(Arc::new) else { return Err(Box::new(loaded)) };
        let mut secrets = Secrets::new(&loaded.path);
        let mut watch = Watch::new(&loaded.path, secrets.files(&config));
        watch.assume(Bytes::copy_from_slice(loaded.text.as_bytes()));
        let resolved = secrets.resolve(&config).await;
        let path: Arc<Path> = loaded.path.as_path().into();
        let generation = past.generation(&loaded.sha256);
        let first = assemble(&config, &resolved, &loaded.sha256, generation, past.salt, None);
        let (orders, received) = mpsc::unbounded_channel();
        let last_good = past.last_good.then_some(generation);
        let status = watch::Sender::new(ReloadStatus { last_good, ..ReloadStatus::new(&first) });
        let control = Control { nudge: watch.nudge(), orders, status: status.subscribe() };
        warn(&resolved, &Resolved::default());
        warn_of_clients(&config, &resolved, &Resolved::default());
        tell(&events, news(None, &first));
        let cell = SnapshotCell::new(first);
        let salt = past.salt;
        let known = past.latest.is_some_and(|latest| latest.sha256 == loaded.sha256);
        let (accepted, unkept) = (past.accepted, (!known).then(|| Arc::clone(&loaded.text)));
        Ok(Self {
            path,
            watch,
            secrets,
            resolved,
            started: config,
            cell,
            events,
            status,
            orders: received,
            control,
            salt,
            accepted,
            unkept,
        })
    }

    /// Where the snapshots are.
    pub fn cell(&self) -> SnapshotCell {
        self.cell.clone()
    }

    /// What a reference of the file came to.
    pub fn secret(&self, spec: &SecretSpec) -> Result<&Secret, &Unresolved> {
        self.resolved.get(spec)
    }

    /// The contents of a certificate file, `path` as written in the file.
    pub fn certificate(&self, path: &Path) -> Result<&[u8], &Unresolved> {
        self.resolved.certificate(path)
    }

    /// Goes on with the active profile of an earlier process, if it still is in the chain. Before anybody is served.
    pub fn resume(&self, active: &str, pinned: bool) {
        let first = self.cell.load();
        let stays = |profile: &Arc<Profile>| *profile.name == *active && !profile.endpoints.is_empty();
        if let Some(index) = first.chain.iter().position(stays) {
            self.cell.store(first.with_active(index, pinned));
        }
    }

    /// The way to ask for things.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Publishes until `stop`. Programs under way end with it.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        if let Some(text) = self.unkept.take() {
            self.keep(text).await;
        }
        loop {
            tokio::select! {
                () = &mut stop => return,
                change = self.watch.changed() => self.changed(change).await,
                () = self.secrets.refreshed() => self.refresh().await,
                Some(order) = self.orders.recv() => self.obey(order),
            }
        }
    }

    async fn changed(&mut self, change: Change) {
        let Change { bytes, file_changed, also_changed, nudged, mode } = change;
        let refreshed = (file_changed || nudged) && self.reload(bytes, mode, nudged).await;
        if !refreshed && (also_changed || nudged) {
            self.refresh().await;
        }
        if nudged {
            self.status.send_modify(|status| status.asked += 1);
        }
    }

    /// Takes in what the file holds now. Whether that was published.
    async fn reload(&mut self, bytes: io::Result<Bytes>, mode: Mode, nudged: bool) -> bool {
        let Some(mut loaded) = load(Arc::clone(&self.path), bytes).await else {
            let report = "the file could not be checked; please report this as a bug".to_owned();
            self.reject(None, Rejection { at: SystemTime::now(), report, errors: 1, diagnostics: Arc::default() });
            return false;
        };
        let Some(config) = loaded.config.take().map(Arc::new) else {
            self.reject(Some(&loaded.sha256), rejection(&loaded));
            return false;
        };
        if loaded.sha256 == *self.cell.load().sha256 && self.status.borrow().last_good.is_none() {
            self.unchanged(nudged);
            return false;
        }
        self.accept(config, &loaded, mode).await;
        true
    }

    fn reject(&self, sha256: Option<&String>, rejection: Rejection) {
        let (report, errors) = (rejection.report.clone(), rejection.errors);
        self.status.send_modify(|status| {
            if let Some(sha256) = sha256 {
                status.remember(sha256.clone(), Verdict::Rejected(rejection.clone()));
            }
            status.rejected = Some(rejection);
        });
        self.events.tell(Event::Rejected { report, errors });
    }

    /// The file is again, or still, the one that runs. Who asked by hand gets an answer.
    fn unchanged(&self, nudged: bool) {
        let was_wrong = self.status.send_if_modified(|status| status.rejected.take().is_some());
        if was_wrong {
            self.tell_reloaded(Vec::new());
        } else if nudged {
            tracing::info!(generation = self.cell.load().generation, "the file has not changed");
        }
    }

    async fn accept(&mut self, config: Arc<Config>, loaded: &Loaded, mode: Mode) {
        if loaded.warnings() > 0 {
            tracing::warn!(count = loaded.warnings(), report = loaded.report(false), "the file has warnings");
        }
        let before = self.cell.load();
        self.watch.set_also(self.secrets.files(&config));
        let resolved = self.secrets.resolve_within(&config, PATIENCE).await;
        let restart_required = cold(&self.started, &config);
        self.publish(&config, resolved, &loaded.sha256, before.generation + 1, |publisher, after| {
            publisher.status.send_modify(|status| {
                let (verdicts, asked) = (std::mem::take(&mut status.verdicts), status.asked);
                *status = ReloadStatus { mode, restart_required, asked, verdicts, ..ReloadStatus::new(after) };
                status.remember(status.sha256.clone(), Verdict::Accepted(after.generation));
            });
            publisher.tell_reloaded(changes(&before.config, &after.config).words);
        });
        self.keep(Arc::clone(&loaded.text)).await;
    }

    /// Keeps the file that runs. If that fails, or takes too long, the log says so and everything goes on.
    async fn keep(&self, text: Arc<str>) {
        let Some(accepted) = self.accepted.clone() else { return };
        let (number, sha256, at) = {
            let status = self.status.borrow();
            (status.generation, status.sha256.clone(), status.accepted)
        };
        let revision = Revision { number, at, sha256 };
        let keeping = tokio::task::spawn_blocking(move || accepted.keep(&revision, &text));
        let why = match timeout(KEEPING, keeping).await {
            Ok(Ok(Ok(()))) => return,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "the disk did not answer in time".to_owned(),
        };
        tracing::warn!(generation = number, error = why, "the accepted file is not kept for `qcc config history`");
    }

    /// Looks up secrets and certificates again, and publishes if they differ.
    async fn refresh(&mut self) {
        let before = self.cell.load();
        let resolved = self.secrets.resolve_within(&before.config, PATIENCE).await;
        if resolved != self.resolved {
            self.publish(&before.config, resolved, &before.sha256, before.generation, |_, _| ());
        }
    }

    /// Builds, swaps, and tells: first what `announce` says, then what follows from it.
    fn publish(
        &mut self,
        config: &Arc<Config>,
        resolved: Resolved,
        sha256: &str,
        generation: u64,
        announce: impl FnOnce(&Self, &Snapshot),
    ) {
        let before = self.cell.load();
        let after = assemble(config, &resolved, sha256, generation, self.salt, Some(&before));
        self.cell.store(after);
        warn(&resolved, &self.resolved);
        warn_of_clients(config, &resolved, &self.resolved);
        self.resolved = resolved;
        let after = self.cell.load();
        announce(self, &after);
        tell(&self.events, news(Some(&before), &after));
    }

    fn tell_reloaded(&self, mut changes: Vec<String>) {
        let more = changes.len().saturating_sub(TOLD);
        changes.truncate(TOLD);
        changes.extend((more > 0).then(|| format!("and {more} more")));
        let status = self.status.borrow();
        let restart_required = status.restart_required.iter().map(|key| (*key).to_owned()).collect();
        self.events.tell(Event::Reloaded { generation: status.generation, changes, restart_required });
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Switch(switch, published) => {
                self.switch(switch);
                if let Some(published) = published {
                    tell_published(published);
                }
            }
            Order::Pin(pinned, published) => {
                self.pin(pinned);
                tell_published(published);
            }
            Order::Renew(endpoint) => self.renew(&endpoint),
        }
    }

    fn switch(&self, switch: Switch) {
        let before = self.cell.load();
        let index = before.chain.iter().position(|profile| profile.name == switch.to);
        let Some(index) = index.filter(|index| *index != before.active) else { return };
        self.cell.store(before.with_active(index, switch.pinned));
        let from = before.active_profile().map_or_else(|| "".into(), |profile| Arc::clone(&profile.name));
        let Switch { to, cause, reason, .. } = switch;
        self.events.tell(Event::Switched { from, to, cause, reason });
    }

    fn pin(&self, pinned: bool) {
        let before = self.cell.load();
        if before.pinned != pinned {
            self.cell.store(before.with_active(before.active, pinned));
        }
    }

    fn renew(&mut self, id: &EndpointId) {
        let config = Arc::clone(&self.cell.load().config);
        let found = endpoints(&config).find(|endpoint| endpoint.profile == &*id.profile && endpoint.id == &*id.id);
        if let Some(spec) = found.and_then(|endpoint| endpoint.fields.api_key.as_ref()) {
            self.secrets.refresh_now(spec);
        }
    }
}

impl ReloadStatus {
    /// Just accepted.
    fn new(snapshot: &Snapshot) -> Self {
        Self {
            generation: snapshot.generation,
            sha256: snapshot.sha256.to_string(),
            accepted: SystemTime::now(),
            mode: Mode::default(),
            restart_required: Vec::new(),
            rejected: None,
            last_good: None,
            verdicts: VecDeque::new(),
            asked: 0,
        }
    }
}

fn rejection(loaded: &Loaded) -> Rejection {
    let diagnostics = loaded.diagnostics.as_slice().into();
    Rejection { at: SystemTime::now(), report: loaded.report(false), errors: loaded.errors(), diagnostics }
}

/// Checks what the file holds, away from this thread: a large one takes its time.
async fn load(path: Arc<Path>, bytes: io::Result<Bytes>) -> Option<Loaded> {
    let load = move || match bytes {
        Ok(bytes) => config::load_bytes(&path, &bytes),
        // It says what is wrong with it, as everywhere else.
        Err(_) => config::load(&path),
    };
    tokio::task::spawn_blocking(load).await.ok()
}

fn assemble(
    config: &Arc<Config>,
    resolved: &Resolved,
    sha256: &str,
    generation: u64,
    salt: [u8; 32],
    before: Option<&Snapshot>,
) -> Snapshot {
    build(&Inputs { config: Arc::clone(config), resolved, sha256, generation, salt }, before)
}

fn warn(resolved: &Resolved, before: &Resolved) {
    let new = resolved.warnings.iter().filter(|warning| !before.warnings.contains(warning));
    for warning in new {
        tracing::warn!("{warning}");
    }
}

/// A client without a token is an unknown one, and would not learn why.
fn warn_of_clients(config: &Config, resolved: &Resolved, before: &Resolved) {
    for client in config.server.clients.iter().flatten() {
        if let Err(why) = resolved.get(&client.token)
            && before.get(&client.token) != Err(why)
        {
            tracing::warn!(client = client.name, reason = %format_args!("no token: {why}"), "client shut out");
        }
    }
}

/// Whoever waited may have left.
fn tell_published(published: oneshot::Sender<()>) {
    let _ = published.send(());
}

fn tell(events: &Events, news: Vec<Event>) {
    for event in news {
        events.tell(event);
    }
}

#[cfg(test)]
mod tests;
