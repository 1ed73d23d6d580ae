//! The thread that writes: what waits is one transaction.

use std::io;
use std::sync::{OnceLock, Weak, mpsc as blocking};
use std::thread::ThreadId;
use std::time::SystemTime;

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, watch};

use super::PATIENCE;
use super::away::Away;
use super::error::Failure;
use super::job::{Job, Tx};
use super::open::Opened;
use super::reader::Reads;
use super::schema;
use super::standing::Standing;

/// Jobs of one commit, so that the first of them does not wait for the last of too many.
const TOGETHER: usize = 256;

/// The writer's whole life.
pub(super) struct Writer {
    /// The failure of the disk that ended writing.
    connection: Result<Connection, Failure>,
    waiting: mpsc::Receiver<Box<dyn Job>>,
    standing: watch::Sender<Standing>,
    disk: Disk,
}

/// The disk, where state was in memory at first.
#[derive(Debug)]
pub(super) struct Disk {
    /// Where to look for it; kept to the end, with the leave to use it.
    pub(super) away: Option<Away>,
    /// Where its other connection goes. Not held: that is closed before the writer's.
    pub(super) reads: Weak<OnceLock<Reads>>,
}

impl Writer {
    pub(super) fn new(
        connection: Connection,
        waiting: mpsc::Receiver<Box<dyn Job>>,
        standing: watch::Sender<Standing>,
        disk: Disk,
    ) -> Self {
        Self { connection: Ok(connection), waiting, standing, disk }
    }

    /// Begins; it ends when nobody holds `jobs` any more.
    pub(super) fn start(self, jobs: mpsc::Sender<Box<dyn Job>>) -> io::Result<Handle> {
        let (ending, ended) = blocking::channel::<()>();
        let work = move || {
            let _ending = ending;
            self.run();
        };
        let thread = std::thread::Builder::new().name("qcc-store".to_owned()).spawn(work)?;
        Ok(Handle { jobs: Some(jobs), ended: ended.into(), thread: thread.thread().id() })
    }

    fn run(mut self) {
        let mut batch = Vec::with_capacity(TOGETHER);
        while self.waiting.blocking_recv_many(&mut batch, TOGETHER) > 0 {
            self.look_for_disk();
            let committed = self.commit(&mut batch);
            self.judge(&committed);
            for job in batch.drain(..) {
                let refused = self.refused(job.as_ref());
                job.end(refused.and(committed.clone()));
            }
        }
    }

    /// Goes over to the disk that could not be written at the start.
    fn look_for_disk(&mut self) {
        let (Some(away), Ok(memory)) = (&mut self.disk.away, &mut self.connection) else { return };
        if !matches!(*self.standing.borrow(), Standing::Memory { .. }) {
            return;
        }
        match away.look(memory) {
            Ok(Opened { connection, reads, standing }) => {
                *memory = connection;
                // It is empty as long as state is in memory.
                drop(self.disk.reads.upgrade().zip(reads).map(|(place, reads)| place.set(reads)));
                self.standing.send_replace(standing);
                tracing::info!("state is on disk from now on");
            }
            Err(Some(why)) => drop(self.standing.send_replace(Standing::Memory { why: why.into() })),
            Err(None) => {}
        }
    }

    fn commit(&mut self, batch: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        let memory = matches!(*self.standing.borrow(), Standing::Memory { .. });
        let doubtful = matches!(*self.standing.borrow(), Standing::ReadOnly { .. });
        let wanted = batch.iter_mut().filter(|job| !(memory && job.durable()));
        match &mut self.connection {
            Ok(connection) => transact(connection, wanted, doubtful),
            Err(failed) => Err(failed.clone()),
        }
    }

    /// What was to last is not done in memory.
    fn refused(&self, job: &dyn Job) -> Result<(), Failure> {
        match &*self.standing.borrow() {
            Standing::Memory { why } if job.durable() => Err(Failure::Memory(why.clone())),
            _ => Ok(()),
        }
    }

    /// What a commit says about the disk.
    fn judge(&mut self, committed: &Result<(), Failure>) {
        let why = match committed {
            Ok(()) => return self.recovered(),
            Err(failed @ Failure::Disk(why)) => {
                self.connection = Err(failed.clone());
                why.clone()
            }
            Err(full @ (Failure::Full | Failure::Unwritten(_))) => full.to_string().into(),
            Err(_) => return,
        };
        self.standing.send_if_modified(|standing| {
            let news = standing.is_good();
            if news {
                tracing::error!(reason = &*why, "state cannot be written; the proxy goes on without");
                *standing = Standing::ReadOnly { why, since: SystemTime::now() };
            }
            news
        });
    }

    fn recovered(&self) {
        self.standing.send_if_modified(|standing| {
            let news = matches!(standing, Standing::ReadOnly { .. });
            if news {
                tracing::info!("state is written again");
                *standing = Standing::Good;
            }
            news
        });
    }
}

/// All jobs in one transaction. An error means that none of them was done. A `doubtful` disk has to take something: jobs
/// may change nothing.
fn transact<'a>(
    connection: &mut Connection,
    jobs: impl Iterator<Item = &'a mut Box<dyn Job>>,
    doubtful: bool,
) -> Result<(), Failure> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if doubtful {
        schema::touch(&transaction)?;
    }
    for job in jobs.filter(|job| !job.abandoned()) {
        let savepoint = transaction.savepoint()?;
        match job.run(&Tx::new(&savepoint)) {
            Ok(()) => savepoint.commit()?,
            // SQLite may have undone everything already.
            Err(failure) if failure.is_of_the_storage() => return Err(failure),
            Err(_) => savepoint.finish()?,
        }
    }
    Ok(transaction.commit()?)
}

/// The line in front of the writer; dropping it waits, for a while, until what was sent is done.
#[derive(Debug)]
pub(super) struct Handle {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    ended: std::sync::Mutex<blocking::Receiver<()>>,
    thread: ThreadId,
}

impl Handle {
    pub(super) fn jobs(&self) -> &mpsc::Sender<Box<dyn Job>> {
        self.jobs.as_ref().expect("it is taken only when dropped")
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.jobs = None;
        // A job may have held the last clone; the writer cannot wait for itself.
        if std::thread::current().id() != self.thread
            && let Ok(ended) = self.ended.get_mut()
        {
            // It ends by closing its side, or takes too long.
            let _ = ended.recv_timeout(PATIENCE);
        }
    }
}
