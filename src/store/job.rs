//! What is done to the state: closures on a transaction, and how each of them ends.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::Failure;

/// A consistent look at the state.
#[derive(Debug)]
pub struct View<'a> {
    pub(super) connection: &'a Connection,
}

/// A transaction: also a [`View`] that sees what was written in it.
#[derive(Debug)]
pub struct Tx<'a>(View<'a>);

impl<'a> Tx<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self(View { connection })
    }
}

impl<'a> Deref for Tx<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// Something that waits for the writer.
pub(super) trait Job: Send {
    /// Whether it makes sense only on a disk.
    fn durable(&self) -> bool;
    /// Whether nobody waits for it any more.
    fn abandoned(&self) -> bool;
    /// Does it; what fails is to be undone.
    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Failure>;
    /// Tells whoever waits. `Ok`: what [`Job::run`] did, if it did, is committed.
    fn end(self: Box<Self>, committed: Result<(), Failure>);
}

/// One that is answered.
pub(super) struct Write<T, F> {
    durable: bool,
    job: Option<F>,
    result: Option<Result<T, Failure>>,
    answer: oneshot::Sender<Result<T, Failure>>,
}

impl<T, F> Write<T, F> {
    pub(super) fn new(durable: bool, job: F, answer: oneshot::Sender<Result<T, Failure>>) -> Self {
        Self { durable, job: Some(job), result: None, answer }
    }
}

impl<T: Send, F: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send> Job for Write<T, F> {
    fn durable(&self) -> bool {
        self.durable
    }

    fn abandoned(&self) -> bool {
        self.answer.is_closed()
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Failure> {
        let Some(job) = self.job.take() else { return Ok(()) };
        let result = guarded(job, tx);
        let ended = result.as_ref().map(drop).map_err(Clone::clone);
        self.result = Some(result);
        ended
    }

    fn end(self: Box<Self>, committed: Result<(), Failure>) {
        let Self { result, answer, .. } = *self;
        // Whoever asked may have given up.
        drop(answer.send(committed.and_then(|()| result.unwrap_or(Err(Failure::Late)))));
    }
}

/// One that nobody waits for.
pub(super) struct Note<F> {
    job: Option<F>,
    result: Result<(), Failure>,
    lost: Arc<AtomicU64>,
}

impl<F> Note<F> {
    pub(super) fn new(job: F, lost: Arc<AtomicU64>) -> Self {
        Self { job: Some(job), result: Ok(()), lost }
    }
}

impl<F: FnOnce(&Tx<'_>) -> Result<(), Failure> + Send> Job for Note<F> {
    fn durable(&self) -> bool {
        false
    }

    fn abandoned(&self) -> bool {
        false
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<(), Failure> {
        self.result = self.job.take().map_or(Ok(()), |job| guarded(job, tx));
        self.result.clone()
    }

    fn end(self: Box<Self>, committed: Result<(), Failure>) {
        if let Err(why) = committed.and(self.result) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(%why, "a note was lost");
        }
    }
}

/// One job that panics must not end the writer.
fn guarded<T>(job: impl FnOnce(&Tx<'_>) -> Result<T, Failure>, tx: &Tx<'_>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(|| job(tx))).unwrap_or(Err(Failure::Panicked))
}
