//! The running proxy, as its routes see it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::watch;

use super::Happened;
use crate::dispatch::Shared;
use crate::failover::steering::Steering;
use crate::health::records::Records;
use crate::health::request::Checks;
use crate::limit::Limit;
use crate::proxy::serve::Phase;
use crate::queue::Queue;
use crate::snapshot::SnapshotCell;
use crate::snapshot::reload::Control;
use crate::store::Store;
use crate::telemetry::Events;
use crate::telemetry::meter::Meters;

/// Everything routes show and steer.
pub struct Proxy {
    /// When the process started to serve.
    pub started: SystemTime,
    /// The file.
    pub config: PathBuf,
    /// The id of its instance.
    pub instance: String,
    /// The directory of its state.
    pub state_dir: PathBuf,
    /// Its log file, if it logs to one.
    pub log: Option<PathBuf>,
    /// Where it listens, such as `http://127.0.0.1:7860`.
    pub listen: Vec<String>,
    /// Where the admin listener is, and the file with its token.
    pub admin: Option<(String, PathBuf)>,
    /// What runs.
    pub cell: SnapshotCell,
    /// What requests share, where conversations belong among it.
    pub shared: Arc<Shared>,
    /// The task that publishes.
    pub control: Control,
    /// Where events are told.
    pub events: Events,
    /// What requests add up to.
    pub meters: Meters,
    /// What happened since the start.
    pub happened: Arc<Happened>,
    /// What lasts.
    pub store: Store,
    /// Switching by hand.
    pub steering: Steering,
    /// What is known of checks.
    pub records: Records,
    /// Checks by hand.
    pub checks: Checks,
    /// What waits and what is kept.
    pub queue: Arc<Queue>,
    /// Requests in flight.
    pub in_flight: Limit,
    /// Client connections.
    pub connections: Limit,
    /// What the process is doing.
    pub phase: watch::Receiver<Phase>,
    /// Stops it: at first what is in progress is finished, the second time it is ended.
    pub stop: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy of {}", self.config.display())
    }
}
