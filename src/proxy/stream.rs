//! One HTTP/2 stream: the task that answers it, and the patience with a client that does not take the answer.
//!
//! A client may stop reading one stream while its connection lives: it answers pings, and its other streams flow. hyper
//! then waits for room without asking the answer for more, so the answer cannot tell; its task sees it here, and gives
//! the stream up as HTTP/1.1 gives up its connection.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use tokio::sync::Notify;

use crate::dispatch::silence::Silence;

tokio::task_local! {
    static TAKEN: Rc<Taken>;
}

/// What a stream's task has taken of its answer. Shared by the two, on one thread.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pieces: Cell<u64>,
    /// The last piece has no room yet, as far as is known: nothing was asked for after it.
    waits_for_room: Cell<bool>,
}

impl Taken {
    /// That of the stream whose task runs; `None` in HTTP/1.1, where the whole connection is watched.
    pub(super) fn current() -> Option<Rc<Self>> {
        TAKEN.try_with(Rc::clone).ok()
    }

    /// The answer was asked for a piece; whether there was one.
    pub(super) fn asked(&self, piece: bool) {
        self.pieces.set(self.pieces.get() + u64::from(piece));
        self.waits_for_room.set(piece);
    }
}

/// Runs the tasks of a connection's streams on the worker's own thread.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    ending: Rc<Notify>,
    /// How long a client may take nothing of an answer.
    patience: Duration,
}

impl Streams {
    /// Streams whose clients may not read for as long as `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self { ending: Rc::default(), patience }
    }

    /// Wakes all tasks: running answers are to be ended.
    pub(super) fn end(&self) {
        self.ending.notify_waiters();
    }
}

impl<F: Future<Output = ()> + 'static> Executor<F> for Streams {
    fn execute(&self, task: F) {
        let (ending, taken) = (Rc::clone(&self.ending), Rc::<Taken>::default());
        let task = TAKEN.scope(Rc::clone(&taken), run(task, taken, self.patience));
        // Owned by the worker's runtime: it ends with its stream, or with the worker.
        tokio::task::spawn_local(async move {
            let mut task = pin!(task);
            tokio::select! {
                biased;
                () = task.as_mut() => return,
                () = ending.notified() => {}
            }
            task.await;
        });
    }
}

/// Runs `task` to its end, or until its client has taken nothing for too long: dropped, the task resets its stream.
async fn run(task: impl Future<Output = ()>, taken: Rc<Taken>, patience: Duration) {
    let (mut task, mut silence) = (pin!(task), Silence::new(patience));
    let step = |cx: &mut Context<'_>| {
        let before = taken.pieces.get();
        if task.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if taken.pieces.get() != before || !taken.waits_for_room.get() {
            silence.broken();
        }
        if taken.waits_for_room.get() { silence.poll(cx) } else { Poll::Pending }
    };
    std::future::poll_fn(step).await;
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::time::{Instant, sleep};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// How long a stream runs whose client takes a piece after each of `pauses` seconds, and then no more.
    async fn seconds(pauses: Vec<u64>, last_is_a_piece: bool) -> Option<u64> {
        let (began, taken) = (Instant::now(), Rc::<Taken>::default());
        let noted = Rc::clone(&taken);
        let task = async move {
            for pause in pauses {
                noted.asked(true);
                sleep(Duration::from_secs(pause)).await;
            }
            noted.asked(last_is_a_piece);
            pending::<()>().await;
        };
        let ended = tokio::time::timeout(Duration::from_hours(1), run(task, taken, PATIENCE)).await;
        ended.is_ok().then(|| began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up_and_a_slow_one_is_not() {
        assert_eq!(seconds(vec![], true).await, Some(10), "the first piece is never taken");
        assert_eq!(seconds(vec![9; 20], true).await, Some(190), "slow, then gone");
        assert_eq!(seconds(vec![9; 3], false).await, None, "the endpoint is silent, not the client");
    }
}
