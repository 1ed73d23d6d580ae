//! The proxy when everything is in place: its tasks, what the API shows of it, and its end.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::acceptor::Acceptor;
use super::conversations::Conversations;
use super::lock::Lock;
use super::signal::{self, Signals};
use super::upkeep::Upkeep;
use super::worker::Crew;
use super::{Options, advance, history, supervisor};
use crate::admin;
use crate::admin::socket::Door;
use crate::config::Instance;
use crate::dispatch::Shared;
use crate::limit::Limit;
use crate::notify::tell_others;
use crate::proxy::serve::Phase;
use crate::queue::hold;
use crate::queue::worker::{self as clerk, Clerk};
use crate::snapshot::SnapshotCell;
use crate::snapshot::reload::{Control, Publisher};
use crate::store::Store;
use crate::telemetry::log::LogHandle;
use crate::telemetry::{Event, Events};

/// What others learn when everything is in place.
pub(super) struct Wired {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) tls: bool,
    pub(super) events: Events,
    pub(super) cell: SnapshotCell,
    pub(super) lock: Option<Arc<Lock>>,
}

/// Everything in place.
pub(super) struct Proxy {
    pub(super) phase: watch::Sender<Phase>,
    pub(super) heard: tokio::sync::broadcast::Receiver<Arc<Event>>,
    pub(super) instance: Option<Instance>,
    /// The control socket.
    pub(super) door: Option<Door>,
    pub(super) admin: Vec<admin::Listener>,
    pub(super) store: Store,
    pub(super) shared: Arc<Shared>,
    pub(super) clerk: Clerk,
    pub(super) in_flight: Limit,
    pub(super) listeners: Vec<TcpListener>,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) tls: bool,
    pub(super) crew: Crew,
    pub(super) upkeep: Upkeep,
    pub(super) lock: Option<Arc<Lock>>,
}

impl Proxy {
    pub(super) fn wired(&self, options: &Options) -> Wired {
        let (events, cell) = (self.shared.events.clone(), self.shared.cell.clone());
        let lock = self.lock.clone();
        let (urls, socket) = (self.urls(), self.door.as_ref().map(|door| door.path().to_owned()));
        let said = lock.as_ref().map(|lock| {
            lock.say(|own| {
                own.addresses = urls;
                own.socket = socket;
                own.embedded = !options.signals;
                own.use_last_good = options.use_last_good;
            })
        });
        if let Some(Err(error)) = said {
            tracing::warn!(%error, "the lock does not say where the proxy listens");
        }
        Wired { addresses: self.addresses.clone(), tls: self.tls, events, cell, lock }
    }

    fn urls(&self) -> Vec<String> {
        let scheme = if self.tls { "https" } else { "http" };
        self.addresses.iter().map(|address| format!("{scheme}://{address}")).collect()
    }

    /// What the API shows and steers; nothing for a proxy that is not its file's one.
    fn shown(&self, control: Control) -> Option<admin::Proxy> {
        let instance = self.instance.as_ref()?;
        let phase = self.phase.clone();
        Some(admin::Proxy {
            started: SystemTime::now(),
            config: instance.config.clone(),
            instance: instance.id.clone(),
            state_dir: instance.state.clone(),
            log: self.lock.as_ref().and_then(|lock| lock.holder().log),
            listen: self.urls(),
            admin: self.admin.first().map(|admin| (admin.url(), admin.token_file().to_owned())),
            cell: self.shared.cell.clone(),
            shared: Arc::clone(&self.shared),
            control,
            events: self.shared.events.clone(),
            meters: self.shared.meters.clone(),
            happened: Arc::default(),
            store: self.store.clone(),
            steering: self.upkeep.steering.clone(),
            records: self.upkeep.records.clone(),
            checks: self.shared.checks.clone(),
            queue: Arc::clone(&self.clerk.queue),
            in_flight: self.in_flight.clone(),
            connections: self.crew.places.clone(),
            phase: self.phase.subscribe(),
            stop: Box::new(move || signal::stop(&phase)),
        })
    }

    pub(super) async fn run(self, publisher: Publisher, log: Option<Arc<LogHandle>>, signals: Option<Signals>) {
        let control = publisher.control();
        let (mut tasks, mut supervised) = (JoinSet::new(), JoinSet::new());
        let shown = self.shown(control.clone());
        let file = self.instance.as_ref().map(|instance| instance.config.clone());
        let Self { phase, heard, door, admin, store, shared, clerk, in_flight, listeners, crew, upkeep, lock, .. } =
            self;
        let conversations = Conversations::resume(store.clone(), Arc::clone(&shared)).await;
        tasks.spawn(conversations.clone().keep());
        if let Some(shown) = shown.map(Arc::new) {
            tasks.spawn(Arc::clone(&shown.happened).follow(shared.events.listen_but_requests()));
            door.map(|door| tasks.spawn(admin::serve(door, Arc::clone(&shown))));
            for listener in admin {
                tasks.spawn(admin::serve(listener, Arc::clone(&shown)));
            }
        }
        if let Some(signals) = signals {
            tasks.spawn(signals.follow(phase.clone(), control.clone()));
            supervised.spawn(supervisor::report(control.status(), phase.subscribe(), shared.cell.clone()));
        }
        if let Some(file) = file {
            tasks.spawn(tell_others(shared.events.listen_but_requests(), shared.cell.clone(), file));
        }
        if let Some(log) = log {
            tasks.spawn(follow_log(log, shared.events.clone(), shared.cell.clone()));
        }
        let bell = shared.cell.load().bell.clone();
        tasks.spawn(hold::conduct(Arc::clone(&clerk.queue.line), bell));
        tasks.spawn_local(clerk::work(clerk, reached(phase.subscribe(), Phase::Draining)));
        tasks.spawn(store.clone().look_for_disk());
        tasks.spawn(history::keep(store, heard));
        let keeper = upkeep.start(&mut tasks, &shared, &control);
        let crew = Arc::new(crew);
        let mut acceptors = JoinSet::new();
        for listener in listeners {
            acceptors.spawn(Acceptor { listener, crew: Arc::clone(&crew), cell: shared.cell.clone() }.run());
        }
        let mut publisher = pin!(publisher.run(reached(phase.subscribe(), Phase::Ending)));
        let mut drained = pin!(drain(&phase, &shared, &in_flight, acceptors, crew, lock));
        tokio::select! {
            () = &mut drained => {}
            () = &mut publisher => drained.await,
        }
        // It ends by itself, with the word that this is the end.
        while supervised.join_next().await.is_some() {}
        tasks.shutdown().await;
        conversations.finish();
        keeper.finish().await;
    }
}

/// Lets what is in progress finish, then ends it.
async fn drain(
    phase: &watch::Sender<Phase>,
    shared: &Shared,
    in_flight: &Limit,
    mut acceptors: JoinSet<()>,
    crew: Arc<Crew>,
    lock: Option<Arc<Lock>>,
) {
    reached(phase.subscribe(), Phase::Draining).await;
    acceptors.shutdown().await;
    crew.dismiss();
    let limit = shared.cell.load().config.server.drain.get();
    let left = async {
        tokio::select! {
            () = crew.left() => true,
            () = reached(phase.subscribe(), Phase::Ending) => false,
            () = tell_draining(lock.as_deref(), in_flight) => false,
        }
    };
    if tokio::time::timeout(limit, left).await == Ok(true) {
        return advance(phase, Phase::Ending);
    }
    if in_flight.used() > 0 {
        tracing::warn!(requests = in_flight.used(), "requests in progress are ended");
    }
    advance(phase, Phase::Ending);
    crew.left().await;
}

/// Keeps saying in the lock how many requests are left; never ends.
async fn tell_draining(lock: Option<&Lock>, in_flight: &Limit) {
    let mut beat = tokio::time::interval(Duration::from_secs(1));
    loop {
        beat.tick().await;
        // It is told to who asks; nothing depends on it.
        drop(lock.map(|lock| lock.say(|own| own.draining = Some(in_flight.used()))));
    }
}

async fn reached(mut phase: watch::Receiver<Phase>, at_least: Phase) {
    // Without a sender nothing is served any more.
    drop(phase.wait_for(|phase| *phase >= at_least).await);
}

/// Keeps level and format of the log as the file says.
async fn follow_log(log: Arc<LogHandle>, events: Events, cell: SnapshotCell) {
    let mut heard = events.listen_but_requests();
    loop {
        match heard.recv().await {
            Ok(event) if !matches!(*event, Event::Reloaded { .. }) => {}
            Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
            _ => log.apply(&cell.load().config.log),
        }
    }
}
