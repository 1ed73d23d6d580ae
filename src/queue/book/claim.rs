//! Leave to try an entry: whoever holds it decides how the entry stands when the try has ended.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Book, End, Standing};
use crate::store::entries::Answer;
use crate::time::Moment;

/// See the module.
#[derive(Debug)]
pub(in crate::queue) struct Claim {
    pub(super) book: Arc<Book>,
    pub(in crate::queue) id: Arc<str>,
    /// Retries used up.
    pub(in crate::queue) retries: u32,
    /// Model asked for.
    pub(in crate::queue) model: Option<Arc<str>>,
    pub(super) told: watch::Sender<End>,
    pub(super) before: Option<Standing>,
}

impl Claim {
    /// Whether the entry had been given up.
    pub(in crate::queue) fn was_dead(&self) -> bool {
        matches!(self.before, Some(Standing::Dead))
    }

    /// Waits for the end of this try, as others do.
    pub(in crate::queue) fn attach(&self) -> watch::Receiver<End> {
        self.told.subscribe()
    }

    /// Whether somebody waits for its end.
    pub(in crate::queue) fn is_attended(&self) -> bool {
        self.told.receiver_count() > 0
    }

    /// Until nobody waits for its end any more.
    pub(in crate::queue) async fn deserted(&self) {
        self.told.closed().await;
    }

    /// Those who are attached are told that the entry waits on.
    pub(in crate::queue) fn tell_kept(&self) {
        self.told.send_replace(End::Kept);
    }

    /// It waits until `due`, having used up so many retries.
    pub(in crate::queue) fn wait(self, due: Moment, retries: u32) {
        self.settle(Standing::Waiting(due), retries);
    }

    /// It is given up.
    pub(in crate::queue) fn give_up(self, retries: u32) {
        self.settle(Standing::Dead, retries);
    }

    /// It was answered, as those who are attached are told; kept here is the answer only where it could not be `stored`.
    pub(in crate::queue) fn done(self, now: Moment, answer: Arc<Answer>, retries: u32, stored: bool) {
        self.told.send_replace(End::Answered(Arc::clone(&answer)));
        self.settle(Standing::Done { at: now, handed: false, answer: (!stored).then_some(answer) }, retries);
    }

    /// It was answered to a client, or is there no more.
    pub(in crate::queue) fn gone(mut self) {
        self.before = None;
        self.book.remove(&self.id);
    }

    fn settle(mut self, standing: Standing, retries: u32) {
        self.before = None;
        let mut pages = self.book.lock();
        if let Some(slot) = pages.slots.get_mut(&self.id) {
            slot.retries = retries;
            pages.stand(&self.id, standing);
        }
        self.book.changed.notify_one();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.book.lock().stand(&self.id, before);
            self.book.changed.notify_one();
        }
    }
}
