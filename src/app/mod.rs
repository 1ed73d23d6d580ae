//! Start, run, stop: the only place that wires everything together.
//!
//! One background thread publishes, listens and watches; worker threads carry requests. Each worker has a runtime,
//! connections and rotations of its own, so that requests of different workers never meet at a lock.
//!
//! - Nothing is announced before it works: listeners are bound and the first snapshot is built when [`start`] returns.
//! - Every thread and task ends with [`Running`], after what was in progress.

mod acceptor;
mod background;
mod conversations;
mod error;
mod history;
pub mod lock;
mod past;
pub mod search;
mod signal;
mod supervisor;
mod upkeep;
mod wired;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rustix::process::{Resource, Rlimit, setrlimit};
use tokio::sync::watch;

pub use error::{Held, StartError};

use self::lock::{Holder, Lock};
use crate::proxy::serve::Phase;
use crate::snapshot::SnapshotCell;
use crate::telemetry::Events;
use crate::telemetry::log::LogHandle;

/// What is to be run, and how.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "switches that do not depend on each other")]
pub struct Options {
    /// The file.
    pub config: PathBuf,
    /// The log, to follow the file's `log` section.
    pub log: Option<Arc<LogHandle>>,
    /// Where events are told.
    pub events: Events,
    /// Stop on SIGTERM and SIGINT, reload on SIGHUP.
    pub signals: bool,
    /// Be the file's one proxy: hold its lock, keep its state.
    pub sole: bool,
    /// Start from the last accepted file if this one is not valid.
    pub use_last_good: bool,
    /// Log to the file's log file from the moment the lock is held. Needs `sole`.
    pub log_file: bool,
}

/// A proxy that runs. Dropping it ends everything at once, and gives the file's lock back last.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// Whether it listens with TLS.
    pub tls: bool,
    /// Where events are told.
    pub events: Events,
    /// What runs.
    pub cell: SnapshotCell,
    phase: watch::Sender<Phase>,
    thread: Option<JoinHandle<()>>,
    lock: Option<Arc<Lock>>,
}

/// Starts a proxy on the file of `options`.
pub fn start(options: Options) -> Result<Running, StartError> {
    crate::telemetry::redact::guard_panics();
    forbid_core_dumps();
    if let Err(error) = crate::net::listen::raise_open_files() {
        tracing::warn!(%error, "the number of open files could not be raised");
    }
    let (ready, started) = mpsc::sync_channel(1);
    let phase = watch::Sender::new(Phase::Serving);
    let background = background::Background { options, phase: phase.clone(), ready };
    let thread = std::thread::Builder::new().name("qcc".to_owned()).spawn(move || background.run());
    let thread = thread.map_err(StartError::Thread)?;
    match started.recv() {
        Ok(Ok(wired)) => {
            let wired::Wired { addresses, tls, events, cell, lock } = wired;
            Ok(Running { addresses, tls, events, cell, phase, thread: Some(thread), lock })
        }
        Ok(Err(error)) => Err(error),
        Err(_) => Err(StartError::Panicked),
    }
}

impl Running {
    /// What the file's lock says of this process, if it holds it.
    pub fn holder(&self) -> Option<Holder> {
        self.lock.as_ref().map(|lock| lock.holder())
    }

    /// Takes no new requests and finishes those in progress, for as long as `server.drain` says.
    pub fn drain(&self) {
        advance(&self.phase, Phase::Draining);
    }

    /// Ends what is still in progress.
    pub fn end(&self) {
        advance(&self.phase, Phase::Ending);
    }

    /// Waits until everything has ended. The file's lock is held on, for what is still to be said.
    pub fn wait(&mut self) {
        self.join();
    }

    fn join(&mut self) {
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the background thread panicked");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end();
            self.join();
        }
    }
}

/// A core dump would hold the keys.
fn forbid_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "core dumps could not be turned off");
    }
}

/// Phases only go forward.
fn advance(phase: &watch::Sender<Phase>, to: Phase) {
    phase.send_if_modified(|phase| {
        let forward = *phase < to;
        *phase = to.max(*phase);
        forward
    });
}
