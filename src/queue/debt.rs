//! What is to be written of entries, since it could not be when it happened.
//!
//! It is paid as soon as the store can write again; what a process owes when it is killed is lost, and with it at most a
//! second payment is avoided, never an entry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::store::entries::{self, Answer};
use crate::store::{Failure, Store, Tx};
use crate::time::unix_ms;

/// Debts that are kept. They are of seconds in which a disk does not answer.
const MOST: usize = 4096;

/// What is owed, by entry.
#[derive(Debug, Default)]
pub(super) struct Debts(Mutex<HashMap<Arc<str>, Debt>>);

/// What is to be written of one entry.
#[derive(Clone, Debug)]
pub(super) enum Debt {
    /// Nobody was told that it is kept: if it was written all the same, it goes.
    Refused,
    /// It was answered; here is the answer, unless a client has it.
    Done { retries: u32, answer: Option<Arc<Answer>> },
}

impl Debt {
    fn pay(&self, tx: &Tx<'_>, id: &str, now: i64) -> Result<(), Failure> {
        match self {
            Self::Refused => entries::remove(tx, id).map(drop),
            Self::Done { retries, answer } => entries::done(tx, id, *retries, answer.as_deref(), now).map(drop),
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

    /// A client has the answer of this entry: it need not be stored any more.
    pub(super) fn handed(&self, id: &str) {
        if let Some(Debt::Done { answer, .. }) = self.lock().get_mut(id) {
            *answer = None;
        }
    }

    /// Writes all of it; what fails again is owed on.
    pub(super) async fn pay(&self, store: &Store) {
        let owed = std::mem::take(&mut *self.lock());
        if owed.is_empty() {
            return;
        }
        let (paid, now) = (owed.clone(), unix_ms(SystemTime::now()));
        let pay = move |tx: &Tx<'_>| paid.iter().try_for_each(|(id, debt)| debt.pay(tx, id, now));
        if store.write(pay).await.is_err() {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
