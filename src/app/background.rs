//! The background thread: wires everything, runs what is not a request, and sees everything end.

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use super::acceptor::Acceptor;
use super::error::Held;
use super::lock::{Lock, LockError};
use super::past;
use super::signal::{self, Signals};
use super::upkeep::{self, Upkeep};
use super::worker::{Crew, Site};
use super::{Options, StartError, advance, history, search, supervisor};
use crate::admin;
use crate::admin::socket::Door;
use crate::config::model::ServerTls;
use crate::config::{Config, Instance};
use crate::dispatch::{Shared, Worker};
use crate::health::keep::Kept;
use crate::limit::Limit;
use crate::net::{OwnAddresses, listen, tls};
use crate::notify::tell_others;
use crate::proxy::serve::Phase;
use crate::queue::Queue;
use crate::queue::hold;
use crate::queue::worker::{self as clerk, Clerk};
use crate::snapshot::SnapshotCell;
use crate::snapshot::reload::{Control, Past, Publisher};
use crate::store::Store;
use crate::telemetry::log::{LogHandle, log_events};
use crate::telemetry::meter::Origin;
use crate::telemetry::{Event, Events};
use crate::upstream::balance::Picker;
use crate::upstream::client::Client;

/// What the background thread begins with.
pub(super) struct Background {
    pub(super) options: Options,
    pub(super) phase: watch::Sender<Phase>,
    pub(super) ready: SyncSender<Result<Wired, StartError>>,
}

/// What is there before anything is listened on.
struct Opened {
    publisher: Publisher,
    instance: Option<Instance>,
    lock: Option<Lock>,
    store: Store,
    kept: Kept,
}

/// What others learn when everything is in place.
pub(super) struct Wired {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) tls: bool,
    pub(super) events: Events,
    pub(super) cell: SnapshotCell,
    pub(super) lock: Option<Arc<Lock>>,
}

impl Background {
    /// Runs to the end of the process's work.
    pub(super) fn run(self) {
        match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                LocalSet::new().block_on(&runtime, self.wire());
                // A secret's program may still hold a thread; nothing waits for it.
                runtime.shutdown_timeout(Duration::from_millis(100));
            }
            Err(error) => self.answer(Err(StartError::Thread(error))),
        }
    }

    fn answer(&self, wired: Result<Wired, StartError>) {
        // Whoever started us waits for this; if it is gone there is nobody to tell.
        drop(self.ready.send(wired));
    }

    async fn wire(self) {
        signal::refuse_large_files();
        let _logged = self.options.log.is_some().then(|| tokio::spawn(log_events(self.options.events.clone())));
        let Opened { publisher, instance, lock, store, kept } = match self.open().await {
            Ok(opened) => opened,
            Err(error) => return self.answer(Err(error)),
        };
        let signals = self.options.signals.then(Signals::open).transpose().map_err(StartError::Signals);
        let bell = publisher.cell().load().bell.clone();
        let queue = Arc::new(Queue::open(bell, store.clone(), self.options.events.clone()).await);
        match signals.and_then(|signals| Ok((signals, self.build(&publisher, instance, store, &queue, &kept, lock)?))) {
            Ok((signals, proxy)) => {
                self.answer(Ok(proxy.wired(&self.options)));
                proxy.run(publisher, self.options.log, signals).await;
            }
            Err(error) => {
                if self.options.log_file {
                    tracing::error!(report = %error, "not started");
                }
                self.answer(Err(error));
            }
        }
    }

    async fn open(&self) -> Result<Opened, StartError> {
        let path = self.options.config.clone();
        let loaded = tokio::task::spawn_blocking(move || crate::config::load(&path)).await;
        let loaded = loaded.map_err(|_| StartError::Panicked)?;
        if let (Some(log), Some(config)) = (&self.options.log, &loaded.config) {
            log.apply(&config.log);
        }
        if loaded.warnings() > 0 && loaded.errors() == 0 {
            tracing::warn!(count = loaded.warnings(), report = loaded.report(false), "the file has warnings");
        }
        let instance = self.options.sole.then(|| Instance::here(&self.options.config, loaded.state_dir().as_deref()));
        let (place, use_last_good) = (instance.clone(), self.options.use_last_good);
        let resumed = tokio::task::spawn_blocking(move || past::resume(loaded, place.as_ref(), use_last_good)).await;
        let (loaded, past) = resumed.map_err(|_| StartError::Panicked)?;
        // Before anything else is done for the file: a secret's program may have effects.
        let log = self.options.log.clone().filter(|_| self.options.log_file);
        let lock = lock(instance.clone().filter(|_| loaded.config.is_some()), log).await?;
        let place = instance.clone().filter(|_| loaded.config.is_some());
        let locked = lock.is_some();
        let store = tokio::task::spawn_blocking(move || store(place.as_ref(), locked)).await;
        let store = store.map_err(|_| StartError::Panicked)??;
        let (kept, salt) = upkeep::recall(&store).await;
        let opened = Publisher::open(loaded, Past { salt, ..past }, self.options.events.clone()).await;
        let publisher = opened.map_err(|loaded| StartError::Config(loaded.report(false)))?;
        Ok(Opened { publisher, instance, lock, store, kept })
    }

    fn build(
        &self,
        publisher: &Publisher,
        instance: Option<Instance>,
        store: Store,
        queue: &Arc<Queue>,
        kept: &Kept,
        lock: Option<Lock>,
    ) -> Result<Proxy, StartError> {
        let cell = publisher.cell();
        let config = Arc::clone(&cell.load().config);
        // The first: where another proxy of this file answers commands there is nothing to be started.
        let door = instance.as_ref().map(door).transpose()?.flatten();
        let listeners = listen::bind(config.server.listen.addresses())?;
        let addresses: Vec<SocketAddr> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let tls = match &config.server.tls {
            None => None,
            Some(spec) => Some(acceptor(spec, publisher)?),
        };
        let own = OwnAddresses::new(addresses.iter().copied());
        let (reports, checks, upkeep) = Upkeep::new(own.clone(), publisher, store.clone(), kept);
        let shared = Arc::new(Shared::new(cell, self.options.events.clone(), reports, checks));
        let site = Site {
            shared: Arc::clone(&shared),
            queue: Arc::clone(queue),
            own,
            tls,
            phase: self.phase.subscribe(),
            in_flight: Limit::default(),
            buffered: Limit::default(),
        };
        let client = Client::new(site.own.clone());
        let clerk = Clerk {
            queue: Arc::clone(queue),
            worker: Worker {
                shared: Arc::clone(&shared),
                client,
                meter: shared.meters.open(Origin::Queue),
                picker: RefCell::new(Picker::new(fastrand::u64(..))),
            },
            in_flight: site.in_flight.clone(),
            buffered: site.buffered.clone(),
        };
        let crew = Crew::hire(workers(&config), &site)?;
        Ok(Proxy {
            phase: self.phase.clone(),
            heard: self.options.events.listen_but_requests(),
            door,
            admin: admin_listeners(&config, instance.as_ref(), &publisher.cell())?,
            instance,
            store,
            shared,
            clerk,
            in_flight: site.in_flight.clone(),
            listeners,
            addresses,
            tls: site.tls.is_some(),
            crew,
            upkeep,
            lock: lock.map(Arc::new),
        })
    }
}

/// The file's lock; without a place for it the proxy runs all the same, unless its log belongs there too.
async fn lock(instance: Option<Instance>, log: Option<Arc<LogHandle>>) -> Result<Option<Lock>, StartError> {
    let Some(instance) = instance else { return Ok(None) };
    let place = instance.clone();
    let taken = tokio::task::spawn_blocking(move || match search::holder(&place) {
        Ok(Some(holder)) => Err(LockError::Held(Some(Box::new(holder)))),
        // What cannot be looked at is no sign of a proxy.
        Ok(None) | Err(_) => Lock::take(&place),
    })
    .await;
    match (taken.map_err(|_| StartError::Panicked)?, log) {
        (Ok(lock), Some(log)) => match log_to_file(&log, &lock, instance.log()) {
            Ok(()) => Ok(Some(lock)),
            Err(error) => Err(StartError::Log(instance.state, error)),
        },
        (Ok(lock), None) => Ok(Some(lock)),
        (Err(LockError::Held(holder)), _) => Err(StartError::Held(Box::new(Held::new(&instance, holder)))),
        (Err(LockError::Unusable(state, error)), Some(_)) => Err(StartError::Log(state, error)),
        (Err(LockError::Unusable(state, error)), None) => {
            tracing::warn!(%error, state = %state.display(), "no lock: a second proxy on this file goes unnoticed");
            Ok(None)
        }
    }
}

fn log_to_file(log: &LogHandle, lock: &Lock, path: PathBuf) -> io::Result<()> {
    log.turn_to(&path)?;
    lock.say(|own| own.log = Some(path))
}

/// The file's state; a proxy that is not the file's one leaves nothing behind.
fn store(instance: Option<&Instance>, locked: bool) -> Result<Store, StartError> {
    let opened = match instance {
        Some(instance) => Store::open_when_possible(&instance.state, leave(instance.clone(), locked)),
        None => Store::in_memory("this proxy leaves nothing behind"),
    };
    opened.map_err(StartError::State)
}

/// Whether the state directory may be used: by whoever holds its lock, which could not be taken before.
fn leave(instance: Instance, locked: bool) -> impl FnMut() -> bool + Send {
    let mut late = None;
    move || {
        if !locked && late.is_none() {
            late = Lock::take(&instance).ok();
        }
        locked || late.is_some()
    }
}

/// The control socket; without it the proxy runs all the same, but not beside another one of this file.
fn door(instance: &Instance) -> Result<Option<Door>, StartError> {
    match Door::open(&instance.socket) {
        Ok(door) => Ok(Some(door)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(StartError::Held(Box::new(Held::new(instance, None))))
        }
        Err(error) => {
            let socket = instance.socket.display();
            tracing::warn!(%error, %socket, "no control socket: commands cannot ask this proxy");
            Ok(None)
        }
    }
}

/// The admin listener of the file (`localhost` is two); without a place for its token there is none.
fn admin_listeners(
    config: &Config,
    instance: Option<&Instance>,
    cell: &SnapshotCell,
) -> Result<Vec<admin::Listener>, StartError> {
    let (Some(spec), Some(instance)) = (&config.admin, instance) else { return Ok(Vec::new()) };
    let bound = listen::bind(std::slice::from_ref(&spec.listen)).map_err(StartError::Admin)?;
    let open = |listener| admin::Listener::open(listener, &instance.state, cell.clone());
    let opened: std::io::Result<Vec<_>> = bound.into_iter().map(open).collect();
    if let Err(error) = &opened {
        tracing::error!(%error, "no admin listener: there is no token for it");
    }
    let opened = opened.unwrap_or_default();
    for listener in &opened {
        let (url, token) = (listener.url(), listener.token_file().display());
        tracing::info!("the admin API is at {url}, its token in {token}");
    }
    Ok(opened)
}

/// Default: one worker per core, at most 4; beyond that the kernel is the limit.
fn workers(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.server.workers.map_or(cores.min(4), |workers| usize::try_from(workers).unwrap_or(cores))
}

fn acceptor(spec: &ServerTls, publisher: &Publisher) -> Result<tls::Acceptor, StartError> {
    let cert = publisher.certificate(&spec.cert).map_err(|why| StartError::TlsCert(why.to_string()))?;
    let key = publisher.secret(&spec.key).map_err(|why| StartError::TlsKey(why.to_string()))?;
    Ok(tls::Acceptor::new(tls::server_config(cert, key)?))
}

/// Everything in place.
struct Proxy {
    phase: watch::Sender<Phase>,
    heard: tokio::sync::broadcast::Receiver<Arc<Event>>,
    instance: Option<Instance>,
    /// The control socket.
    door: Option<Door>,
    admin: Vec<admin::Listener>,
    store: Store,
    shared: Arc<Shared>,
    clerk: Clerk,
    in_flight: Limit,
    listeners: Vec<TcpListener>,
    addresses: Vec<SocketAddr>,
    tls: bool,
    crew: Crew,
    upkeep: Upkeep,
    lock: Option<Arc<Lock>>,
}

impl Proxy {
    fn wired(&self, options: &Options) -> Wired {
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

    async fn run(self, publisher: Publisher, log: Option<Arc<LogHandle>>, signals: Option<Signals>) {
        let control = publisher.control();
        let (mut tasks, mut supervised) = (JoinSet::new(), JoinSet::new());
        let shown = self.shown(control.clone());
        let file = self.instance.as_ref().map(|instance| instance.config.clone());
        let Self { phase, heard, door, admin, store, shared, clerk, in_flight, listeners, crew, upkeep, lock, .. } =
            self;
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
