//! What is to be written of entries, since it could not be when it happened.
//!
//! It is paid as soon as the store can write again. What a process owes when it is killed is lost: that may cost a second
//! payment, never an entry.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::store::attempts::Attempt;
use crate::store::entries::{self, Answer};
use crate::store::{Failure, Store, Tx};
use crate::time::unix_ms;

/// Debts that are kept. They are of seconds in which a disk does not answer.
const MOST: usize = 4096;

/// What is owed.
#[derive(Debug, Default)]
pub(super) struct Debts {
    by_entry: Mutex<HashMap<Arc<str>, Debt>>,
    /// Refusals that are not counted on disk yet.
    refusals: AtomicU64,
}

/// What is to be written of one entry.
#[derive(Clone, Debug)]
pub(super) enum Debt {
    /// Nobody was told that it is kept: if it was written all the same, it goes.
    Refused,
    /// It was answered; here is the answer, unless a client has it.
    Done { retries: u32, tries: Vec<Attempt>, answer: Option<Arc<Answer>> },
}

impl Debt {
    fn pay(&self, tx: &Tx<'_>, id: &str, now: i64) -> Result<(), Failure> {
        match self {
            Self::Refused => entries::remove(tx, id).map(drop),
            Self::Done { retries, tries, answer } => {
                entries::done(tx, id, *retries, tries, answer.as_deref(), now).map(drop)
            }
        }
    }
}

impl Debts {
    /// One more. Beyond the bound it is forgotten.
    pub(super) fn owe(&self, id: &Arc<str>, debt: Debt) {
        let mut debts = self.lock();
        if debts.len() < MOST || debts.contains_key(id) {
            debts.insert(Arc::clone(id), debt);
        }
    }

    /// One more refusal is to be counted.
    pub(super) fn owe_refusal(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
    }

    /// Refusals that are not counted on disk yet.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    /// A client has the answer of this entry: it need not be stored any more.
    pub(super) fn handed(&self, id: &str) {
        if let Some(Debt::Done { answer, .. }) = self.lock().get_mut(id) {
            *answer = None;
        }
    }

    /// Writes all of it; what fails again is owed on. One at a time: there is one clerk.
    pub(super) async fn pay(&self, store: &Store) {
        let (owed, refusals) = (std::mem::take(&mut *self.lock()), self.refusals());
        if owed.is_empty() && refusals == 0 {
            return;
        }
        let (paid, now) = (owed.clone(), unix_ms(SystemTime::now()));
        let pay = move |tx: &Tx<'_>| {
            if refusals > 0 {
                entries::refused(tx, refusals)?;
            }
            paid.iter().try_for_each(|(id, debt)| debt.pay(tx, id, now))
        };
        if store.write(pay).await.is_ok() {
            self.refusals.fetch_sub(refusals, Ordering::Relaxed);
        } else {
            let mut debts = self.lock();
            for (id, debt) in owed {
                debts.entry(id).or_insert(debt);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Debt>> {
        self.by_entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
