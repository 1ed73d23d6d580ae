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
//! - **A full disk**, or one that refuses to be written, fails the jobs of that commit and nothing else; the next commit
//!   tries again. **Any other failure of the disk** (I/O, a sync that failed, damage) ends writing until a restart: after a
//!   failed sync the system may have dropped what it was given, so a second sync that succeeds proves nothing. Reading goes
//!   on; [`Store::standing`] tells.
//! - **Nothing is reset silently.** A file that is damaged, foreign or of a newer qcc is an error that names it.
//!   A directory that cannot be written is none: state is kept in memory, beginning with what can be read there, and the
//!   standing says so. Where that is asked for ([`Store::open_when_possible`]) the disk is taken back when it can be.
//! - The directory is 0700 and the files 0600; none of them may be a symbolic link. Freed pages are overwritten.
//! - Callers keep secrets out: nothing here looks into what it is given.

pub mod attempts;
mod away;
pub mod checks;
pub mod conversations;
mod copy;
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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use self::away::{Away, Leave};
pub use self::error::{Failure, OpenError};
use self::job::{Job, Note, Write};
pub use self::job::{Tx, View};
use self::open::Opened;
pub use self::reader::Reader;
use self::reader::Reads;
pub use self::standing::Standing;
use self::writer::{Disk, Writer};

/// Name of the database in the state directory.
pub const FILE: &str = "state.db";
/// Jobs that wait for the writer.
const WAITING: usize = 1024;
/// The first pause before a disk that cannot be written is tried again, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A commit, or a look, that takes longer has failed.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// The way to an instance's state. Cheap to clone; the last clone waits for what was sent, at most [`PATIENCE`].
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Closed before the writer, which tidies up as the last one. Empty while state is in memory.
    reads: Arc<OnceLock<Reads>>,
    writer: writer::Handle,
    standing: watch::Receiver<Standing>,
    lost: Arc<AtomicU64>,
    /// Whether state in memory is to go to a disk some day.
    waits: bool,
}

impl Store {
    /// Opens the database in `state`, making what is missing. Blocks on the disk.
    ///
    /// A directory that cannot be written gives a store in memory, with the reason in [`Store::standing`].
    pub fn open(state: &Path) -> Result<Self, OpenError> {
        Self::open_or_wait(state, None)
    }

    /// The same, and the disk is taken back when it can be written and `leave` is given; [`Store::look_for_disk`] sees to
    /// it that somebody looks.
    pub fn open_when_possible(state: &Path, leave: impl FnMut() -> bool + Send + 'static) -> Result<Self, OpenError> {
        Self::open_or_wait(state, Some(Box::new(leave)))
    }

    fn open_or_wait(state: &Path, leave: Option<Leave>) -> Result<Self, OpenError> {
        match open::on_disk(state) {
            Ok(opened) => Self::start(opened, None),
            Err(open::Trouble::Unusable(error)) => Err(error),
            Err(open::Trouble::Unwritable(why)) => {
                tracing::warn!(reason = why, "state is kept in memory only");
                let away = leave.map(|leave| Away::new(state.to_owned(), leave));
                Self::start(open::in_memory(&why, Some(state))?, away)
            }
        }
    }

    /// A store that forgets everything when it ends; `why` is told.
    pub fn in_memory(why: &str) -> Result<Self, OpenError> {
        Self::start(open::in_memory(why, None)?, None)
    }

    fn start(opened: Opened, away: Option<Away>) -> Result<Self, OpenError> {
        let Opened { connection, reads, standing } = opened;
        let (standing, told) = watch::channel(standing);
        let lost = Arc::new(AtomicU64::new(0));
        let reads = Arc::new(reads.map_or_else(OnceLock::new, OnceLock::from));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let waits = away.is_some();
        let disk = Disk { away, reads: Arc::downgrade(&reads) };
        let writer = Writer::new(connection, waiting, standing, disk).start(jobs).map_err(OpenError::Thread)?;
        Ok(Self(Arc::new(Inner { reads, writer, standing: told, lost, waits })))
    }

    /// Gives the writer occasion to try the disk again whenever it cannot be written, less and less often. Ends only
    /// where there is no disk to be tried.
    pub async fn look_for_disk(self) {
        let (mut standing, mut pause) = (self.standing(), LOOKS.0);
        let hopeless = |standing: &Standing| matches!(standing, Standing::Memory { .. }) && !self.0.waits;
        while standing.wait_for(|standing| !standing.is_good()).await.is_ok_and(|standing| !hopeless(&standing)) {
            sleep(pause).await;
            pause = match self.flush().await {
                Ok(()) if self.0.standing.borrow().is_good() => LOOKS.0,
                _ => (pause * 2).min(LOOKS.1),
            };
        }
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
        match self.0.reads.get() {
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
