//! Durable state of one instance: one SQLite database in its state directory, and one thread that writes it.
//!
//! What is kept is named by nouns, one file each ([`switches`] is the example): plain structs, typed functions that take a
//! [`Tx`] or a [`View`], and the tables they need, listed in `schema`. No SQL is outside this folder, none in strings built
//! from values. Others bring these functions to the data:
//!
//! ```ignore
//! store.note(move |tx| switches::append(tx, &switch));                         // may be lost, never waits
//! let id = store.write(move |tx| entries::add(tx, &entry)).await?;             // on disk when this returns
//! let last = store.read(|view| switches::last(view, 20)).await?;
//! ```
//!
//! - **One writer.** Jobs wait in a bounded line, in order. What waits is one transaction, each job inside a savepoint: a
//!   job that fails is undone alone, and all are answered after the one commit.
//! - **[`Store::write`] answers after the commit**, which is synced (`synchronous = FULL`). Longer than two seconds is an
//!   error to the caller. A job whose caller has given up is not begun; one that is just being committed may still be
//!   written, so whoever must know sends a [`Store::note`] behind it that takes it back. Without a disk it is refused.
//! - **[`Store::note`] is for what may be lost**: dropped and counted when the line is full.
//! - **[`Store::read`] never waits for a writer**: it has a connection of its own, off the async threads.
//! - **A full disk** fails the jobs of that commit and nothing else; the next commit tries again. **Any other failure of
//!   the disk** (I/O, a sync that failed, damage) ends writing until a restart: after a failed sync the system may have
//!   dropped what it was given, so a second sync that succeeds proves nothing. Reading goes on; [`Store::standing`] tells.
//! - **Nothing is reset silently.** A file that is damaged, foreign or of a newer qcc is an error that names it.
//!   A directory that cannot be written is none: state is kept in memory, and the standing says so.
//! - The directory is 0700 and the files 0600; none of them may be a symbolic link. Freed pages are overwritten.
//! - Callers keep secrets out: nothing here looks into what it is given.

pub mod checks;
pub mod endpoints;
pub mod entries;
mod error;
mod job;
pub mod keys;
pub mod lead;
mod open;
pub mod place;
mod reader;
pub mod salt;
mod schema;
mod standing;
pub mod switches;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

pub use self::error::{Failure, OpenError};
use self::job::{Job, Note, Write};
pub use self::job::{Tx, View};
use self::open::Opened;
pub use self::reader::Reader;
use self::reader::Reads;
pub use self::standing::Standing;
use self::writer::Writer;

/// Name of the database in the state directory.
pub const FILE: &str = "state.db";
/// Jobs that wait for the writer.
const WAITING: usize = 1024;
/// A commit, or a look, that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The way to an instance's state. Cheap to clone; the last clone waits for what was sent, at most [`PATIENCE`].
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Closed before the writer, which tidies up as the last one.
    reads: Option<Reads>,
    writer: writer::Handle,
    standing: watch::Receiver<Standing>,
    lost: Arc<AtomicU64>,
}

impl Store {
    /// Opens the database in `state`, making what is missing. Blocks on the disk.
    ///
    /// A directory that cannot be written gives a store in memory, with the reason in [`Store::standing`].
    pub fn open(state: &Path) -> Result<Self, OpenError> {
        match open::on_disk(state) {
            Ok(opened) => Self::start(opened),
            Err(open::Trouble::Unusable(error)) => Err(error),
            Err(open::Trouble::Unwritable(why)) => {
                tracing::warn!(reason = why, "state is kept in memory only and ends with the proxy");
                Self::in_memory(&why)
            }
        }
    }

    /// A store that forgets everything when it ends; `why` is told.
    pub fn in_memory(why: &str) -> Result<Self, OpenError> {
        Self::start(open::in_memory(why)?)
    }

    fn start(opened: Opened) -> Result<Self, OpenError> {
        let Opened { connection, reads, standing } = opened;
        let (standing, told) = watch::channel(standing);
        let lost = Arc::new(AtomicU64::new(0));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let writer = Writer::new(connection, waiting, standing).start(jobs).map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Inner { reads, writer, standing: told, lost })))
    }

    /// Runs `job` in a transaction and waits until it is on disk.
    pub async fn write<T, F>(&self, job: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        self.ask(true, job).await
    }

    /// Runs `job` in a transaction, some time soon. Never waits.
    pub fn note(&self, job: impl FnOnce(&Tx<'_>) -> Result<(), Failure> + Send + 'static) {
        let note = Note::new(job, Arc::clone(&self.0.lost));
        if self.0.writer.jobs().try_send(Box::new(note)).is_err() {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs `look` on what is committed.
    pub async fn read<T, F>(&self, look: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&View<'_>) -> Result<T, Failure> + Send + 'static,
    {
        match &self.0.reads {
            Some(reads) => timeout(PATIENCE, reads.read(look)).await.unwrap_or(Err(Failure::Late)),
            // Memory has one connection, and nothing in it is slow.
            None => self.ask(false, move |tx| look(tx)).await,
        }
    }

    /// Waits until everything sent before is done.
    pub async fn flush(&self) -> Result<(), Failure> {
        self.ask(false, |_| Ok(())).await
    }

    /// Whether writes last, and why not.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.0.standing.clone()
    }

    /// Notes that were lost so far.
    pub fn lost(&self) -> u64 {
        self.0.lost.load(Ordering::Relaxed)
    }

    async fn ask<T, F>(&self, durable: bool, job: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let job: Box<dyn Job> = Box::new(Write::new(durable, job, answer));
        let done = async {
            self.0.writer.jobs().send(job).await.map_err(|_| Failure::Ended)?;
            answered.await.unwrap_or(Err(Failure::Ended))
        };
        timeout(PATIENCE, done).await.unwrap_or(Err(Failure::Late))
    }
}
