//! What is kept, as the running proxy knows it: who may try an entry, and when.
//!
//! The database is what lasts; the book is what decides. One proxy runs on a state, so that a claim in the book is the
//! only one there is.
//!
//! Invariants:
//! - an entry is tried by one at a time: whoever holds its [`Claim`];
//! - a claim that is dropped puts the entry back where it was;
//! - who comes while an entry is tried is attached to that try, and told how it ended;
//! - an answer is handed out once, and to all who were attached when it came.

mod claim;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;

pub(super) use self::claim::Claim;
use super::twin::Twin;
use crate::store::entries::{Answer, State};
use crate::time::Moment;

/// How long after it came an answer is handed to a re-send.
const FRESH: Duration = Duration::from_mins(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Book {
    pages: Mutex<Pages>,
    length: AtomicUsize,
    /// Something became due earlier.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Pages {
    slots: HashMap<Arc<str>, Slot>,
    twins: HashMap<Twin, Arc<str>>,
    sessions: HashMap<Arc<str>, usize>,
    due: BTreeSet<(Moment, Arc<str>)>,
}

/// One entry.
#[derive(Debug)]
struct Slot {
    twin: Option<Twin>,
    retries: u32,
    model: Option<Arc<str>>,
    standing: Standing,
}

#[derive(Debug)]
enum Standing {
    Waiting(Moment),
    /// Those who are attached hold the other end.
    Running(watch::Sender<End>),
    Done {
        at: Moment,
        handed: bool,
        /// Where it could not be stored.
        answer: Option<Arc<Answer>>,
    },
    Dead,
}

/// How a try ended, as those are told who are attached to it. A sender that is dropped while it is open: it came to nothing.
#[derive(Clone, Debug, Default)]
pub(super) enum End {
    /// It has not.
    #[default]
    Open,
    /// With this answer, which is theirs too.
    Answered(Arc<Answer>),
    /// A client's own try was in vain, and its entry waits on: so do theirs.
    Kept,
}

/// An entry that comes into the book.
#[derive(Clone, Debug)]
pub(super) struct New {
    pub(super) id: Arc<str>,
    pub(super) twin: Option<Twin>,
    pub(super) model: Option<Arc<str>>,
    pub(super) state: State,
    pub(super) retries: u32,
    /// When it is due, or was done.
    pub(super) at: Moment,
    pub(super) handed: bool,
}

/// What a request finds when it comes again.
#[derive(Debug)]
pub(super) enum Met {
    /// Nothing.
    Nobody,
    /// An entry that nobody tries: it is its own now.
    Claim(Claim),
    /// An entry that is being tried; it is attached now.
    Running(Arc<str>, watch::Receiver<End>),
    /// The answer, which is its own now; where it could not be stored, here it is.
    Done(Arc<str>, Option<Arc<Answer>>),
}

impl Book {
    /// Whether an entry of this conversation may be there. One atomic read while nothing is kept.
    pub(super) fn knows(&self, session: &str) -> bool {
        self.length.load(Ordering::Relaxed) > 0 && self.lock().sessions.contains_key(session)
    }

    /// Takes in one more, unless it is here.
    pub(super) fn enter(&self, new: New) {
        let New { id, twin, model, state, retries, at, handed } = new;
        let standing = match state {
            State::Waiting | State::Running => Standing::Waiting(at),
            State::Done => Standing::Done { at, handed, answer: None },
            State::Dead => Standing::Dead,
        };
        let mut pages = self.lock();
        if pages.slots.contains_key(&id) {
            return;
        }
        if let Some(twin) = &twin {
            *pages.sessions.entry(Arc::clone(&twin.session)).or_default() += 1;
            pages.twins.insert(twin.clone(), Arc::clone(&id));
        }
        if let Standing::Waiting(due) = standing {
            pages.due.insert((due, Arc::clone(&id)));
        }
        pages.slots.insert(id, Slot { twin, retries, model, standing });
        self.count(&pages);
        self.changed.notify_one();
    }

    /// Takes one out; whoever is trying it goes on for nothing.
    pub(super) fn remove(&self, id: &str) {
        let mut pages = self.lock();
        pages.remove(id);
        self.count(&pages);
    }

    /// Takes out those in this state, or all.
    pub(super) fn clear(&self, state: Option<State>) {
        let mut pages = self.lock();
        let gone = |slot: &Slot| state.is_none_or(|state| slot.standing.state() == state);
        let ids: Vec<Arc<str>> =
            pages.slots.iter().filter(|(_, slot)| gone(slot)).map(|(id, _)| Arc::clone(id)).collect();
        for id in &ids {
            pages.remove(id);
        }
        self.count(&pages);
    }

    /// Makes a waiting or dead one due now, with all its retries before it.
    pub(super) fn retry(&self, id: &str, now: Moment) {
        let mut pages = self.lock();
        let Some(slot) = pages.slots.get_mut(id) else { return };
        if matches!(slot.standing, Standing::Waiting(_) | Standing::Dead) {
            slot.retries = 0;
            pages.stand(id, Standing::Waiting(now));
        }
        self.changed.notify_one();
    }

    /// Those that [`Book::retry`] would concern.
    pub(super) fn retriable(&self) -> Vec<Arc<str>> {
        let pages = self.lock();
        let can = |slot: &Slot| matches!(slot.standing, Standing::Waiting(_) | Standing::Dead);
        pages.slots.iter().filter(|(_, slot)| can(slot)).map(|(id, _)| Arc::clone(id)).collect()
    }

    /// The model that an entry asks for.
    pub(super) fn model(&self, id: &str) -> Option<Arc<str>> {
        self.lock().slots.get(id)?.model.clone()
    }

    /// What `twin` finds.
    pub(super) fn meet(self: &Arc<Self>, twin: &Twin, now: Moment) -> Met {
        let mut pages = self.lock();
        let Some(id) = pages.twins.get(twin).cloned() else { return Met::Nobody };
        let Some(slot) = pages.slots.get_mut(&id) else { return Met::Nobody };
        match &mut slot.standing {
            Standing::Running(running) => Met::Running(id, running.subscribe()),
            Standing::Waiting(_) | Standing::Dead => self.claim(&mut pages, &id).map_or(Met::Nobody, Met::Claim),
            Standing::Done { at, handed, answer } => {
                let mine = !*handed && now.since(*at) <= FRESH;
                let met = if mine { Met::Done(id, answer.take()) } else { Met::Nobody };
                *handed |= mine;
                met
            }
        }
    }

    /// The answer of an entry was handed out.
    pub(super) fn handed(&self, id: &str) {
        if let Some(Slot { standing: Standing::Done { handed, answer, .. }, .. }) = self.lock().slots.get_mut(id) {
            (*handed, *answer) = (true, None);
        }
    }

    /// The entry that has been due longest, if one is.
    pub(super) fn next(self: &Arc<Self>, now: Moment) -> Option<Claim> {
        let mut pages = self.lock();
        let (_, id) = pages.due.first().filter(|(due, _)| *due <= now)?.clone();
        self.claim(&mut pages, &id)
    }

    /// Waits until an entry is due.
    pub(super) async fn due(&self) {
        loop {
            let changed = self.changed.notified();
            let (now, first) = (Moment::now(), self.lock().due.first().map(|(due, _)| *due));
            match first {
                Some(due) if due <= now => return,
                Some(due) => tokio::select! {
                    () = changed => {}
                    () = sleep(due.since(now)) => return,
                },
                None => changed.await,
            }
        }
    }

    fn claim(self: &Arc<Self>, pages: &mut Pages, id: &Arc<str>) -> Option<Claim> {
        let told = watch::Sender::new(End::Open);
        let before = pages.stand(id, Standing::Running(told.clone()))?;
        let slot = pages.slots.get(id)?;
        let (retries, model) = (slot.retries, slot.model.clone());
        Some(Claim { book: Arc::clone(self), id: Arc::clone(id), retries, model, told, before: Some(before) })
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, pages: &Pages) {
        self.length.store(pages.slots.len(), Ordering::Relaxed);
    }
}

impl Pages {
    /// Changes where an entry stands; how it stood, unless it is gone.
    fn stand(&mut self, id: &str, standing: Standing) -> Option<Standing> {
        let id = Arc::clone(self.slots.get_key_value(id)?.0);
        let slot = self.slots.get_mut(&id)?;
        if let Standing::Waiting(due) = slot.standing {
            self.due.remove(&(due, Arc::clone(&id)));
        }
        if let Standing::Waiting(due) = standing {
            self.due.insert((due, id));
        }
        Some(std::mem::replace(&mut slot.standing, standing))
    }

    fn remove(&mut self, id: &str) {
        let Some((id, slot)) = self.slots.remove_entry(id) else { return };
        if let Standing::Waiting(due) = slot.standing {
            self.due.remove(&(due, Arc::clone(&id)));
        }
        let Some(twin) = slot.twin else { return };
        if self.twins.get(&twin) == Some(&id) {
            self.twins.remove(&twin);
        }
        if let Some(left) = self.sessions.get_mut(&twin.session) {
            *left -= 1;
            if *left == 0 {
                self.sessions.remove(&twin.session);
            }
        }
    }
}

impl Standing {
    const fn state(&self) -> State {
        match self {
            Self::Waiting(_) => State::Waiting,
            Self::Running(_) => State::Running,
            Self::Done { .. } => State::Done,
            Self::Dead => State::Dead,
        }
    }
}
