//! The background thread: wires everything, and runs it to its end.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::LocalSet;

use super::error::Held;
use super::lock::{Lock, LockError};
use super::past;
use super::signal::{self, Signals};
use super::upkeep::{self, Upkeep};
use super::wired::{Proxy, Wired};
use super::worker::{Crew, Site};
use super::{Options, StartError, search};
use crate::admin;
use crate::admin::socket::Door;
use crate::config::model::ServerTls;
use crate::config::{Config, Instance};
use crate::dispatch::{Shared, Worker};
use crate::health::kept::Kept;
use crate::limit::Limit;
use crate::net::{OwnAddresses, listen, tls};
use crate::proxy::serve::Phase;
use crate::queue::Queue;
use crate::queue::worker::Clerk;
use crate::snapshot::SnapshotCell;
use crate::snapshot::reload::{Past, Publisher};
use crate::store::Store;
use crate::telemetry::log::{LogHandle, log_events};
use crate::telemetry::meter::Origin;
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
