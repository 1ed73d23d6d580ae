//! Where entries last: the book and the database together, and every change of both.
//!
//! Invariants:
//! - what a client is told to be queued is on disk, and what was paid for is on disk before it is called done;
//! - a store that fails refuses new entries and loses no old one: what it knows already stays in the book;
//! - what it could not write of entries it has is a debt, paid as soon as it can write again.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::book::{Book, Claim, New};
use super::debt::{Debt, Debts};
use super::schedule::{self, Next};
use super::tries::Tries;
use super::twin::Twin;
use super::{Refusal, entry};
use crate::config::model::Queue as Config;
use crate::dispatch::unanswered::Unanswered;
use crate::store::entries::{self, Added, Answer, Bounds, Entry, Outcome, State};
use crate::store::{Failure, Store};
use crate::telemetry::{Event, Events};
use crate::time::{Clocks, Moment, unix_ms};

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_mins(2);

/// See the module.
#[derive(Debug)]
pub(super) struct Shelf {
    pub(super) book: Arc<Book>,
    pub(super) store: Store,
    events: Events,
    /// This process, among those that have held leases.
    lease: String,
    debts: Debts,
}

impl Shelf {
    /// Takes up what earlier processes left.
    pub(super) async fn open(store: Store, events: Events) -> Self {
        let shelf = Self {
            book: Arc::default(),
            store,
            events,
            lease: format!("{}-{}", std::process::id(), entry::name()),
            debts: Debts::default(),
        };
        if let Err(error) = shelf.load().await {
            tracing::error!(%error, "what is queued cannot be read; it is left as it is");
        }
        shelf
    }

    /// Takes up what is on a disk that could not be written before, and pays what is owed to it.
    pub(super) async fn resume(&self) {
        if let Err(error) = self.load().await {
            tracing::error!(%error, "what is queued cannot be read; it is left as it is");
        }
        self.pay().await;
    }

    /// Writes what could not be written when it happened.
    pub(super) async fn pay(&self) {
        self.debts.pay(&self.store).await;
    }

    async fn load(&self) -> Result<(), Failure> {
        let now = unix_ms(SystemTime::now());
        // Only a state that lasts has something to take back.
        let own = self.lease.clone();
        drop(self.store.write(move |tx| entries::void_leases(tx, &own, now)).await);
        let clocks = Clocks::now();
        for entry in self.store.read(|view| entries::list(view, None, u32::MAX)).await? {
            self.book.enter(known(&entry, clocks));
        }
        Ok(())
    }

    /// Keeps a request that nobody could answer, due as the schedule has it; its name, or why it is not kept.
    pub(super) async fn keep(
        &self,
        unanswered: &Unanswered<'_>,
        twin: Option<Twin>,
        config: &Config,
    ) -> Result<Arc<str>, Refusal> {
        let call = unanswered.call();
        let tries = Tries::of(unanswered.journal());
        let (id, clocks) = (entry::name(), Clocks::now());
        let due = clocks.moment.after(schedule::pause(config, 0, fastrand::f64()));
        let state = if config.max_retries == 0 { State::Dead } else { State::Waiting };
        let request = entry::request(call);
        let now = unix_ms(clocks.time);
        let entry = Entry {
            id: id.to_string(),
            state,
            retries: 0,
            reason: tries.reason(),
            enqueued: now,
            updated: now,
            due: unix_ms(clocks.time_at(due)),
            client: unanswered.client().map(ToString::to_string),
            session: call.session.as_deref().map(str::to_owned),
            fingerprint: twin.as_ref().map(|twin| twin.fingerprint.to_vec()).unwrap_or_default(),
            model: call.facts.model.clone(),
            stream: call.facts.stream,
            bytes: (request.body.len() + request.headers.len()) as u64,
            attempts: tries.attempts(),
            status: None,
            handed: false,
        };
        let bounds = Bounds { entries: config.max_entries, bytes: config.max_bytes.bytes() };
        let model = call.facts.model.as_deref().map(Arc::from);
        let added = self.store.write(move |tx| entries::add(tx, &entry, &request, bounds)).await;
        self.added(added, &id)?;
        self.book.enter(New { id: Arc::clone(&id), twin, model, state, retries: 0, at: due, handed: false });
        tracing::info!(id = &*id, "queued");
        Ok(id)
    }

    fn added(&self, added: Result<Added, Failure>, id: &Arc<str>) -> Result<(), Refusal> {
        match added {
            Ok(Added::Kept) => Ok(()),
            Ok(Added::FullOfEntries) => Err(Refusal::Entries),
            Ok(Added::FullOfBytes) => Err(Refusal::Bytes),
            Err(error) => {
                // It may be written all the same: nobody was told of it, so it is taken back.
                self.debts.owe(id, Debt::Refused);
                self.debts.owe_refusal();
                let id = Arc::clone(id);
                self.store.note(move |tx| entries::remove(tx, &id).map(drop));
                tracing::warn!(%error, "a request could not be queued");
                Err(Refusal::Storage)
            }
        }
    }

    /// Requests that were not taken in and are not counted on disk yet.
    pub(super) fn refusals(&self) -> u64 {
        self.debts.refusals()
    }

    /// A re-send of a kept request failed too: its entry waits on, also if it had been given up. Its name, unless it is not
    /// kept any more; or why it cannot be kept on.
    pub(super) async fn keep_on(
        &self,
        claim: Claim,
        tries: &Tries,
        config: &Config,
    ) -> Result<Option<Arc<str>>, Refusal> {
        let (id, clocks) = (Arc::clone(&claim.id), Clocks::now());
        let name = Arc::clone(&id);
        let kept = if claim.was_dead() {
            let due = clocks.moment.after(schedule::pause(config, 0, fastrand::f64()));
            let outcome = outcome(State::Waiting, 0, tries.reason(), clocks.time_at(due), tries);
            let now = unix_ms(clocks.time);
            let kept = self.store.write(move |tx| entries::failed(tx, &name, &outcome, now)).await;
            kept.map(|kept| kept.then_some(Some(due)))
        } else {
            let tries = tries.attempts();
            let kept = self.store.write(move |tx| entries::put_back(tx, &name, State::Waiting, None, &tries)).await;
            // It is on disk already: what cannot be written now is not needed.
            Ok(kept.unwrap_or(true).then_some(None))
        };
        match kept {
            Ok(Some(due)) => {
                claim.tell_kept();
                if let Some(due) = due {
                    claim.wait(due, 0);
                }
                Ok(Some(id))
            }
            // Somebody has taken it out.
            Ok(None) => {
                claim.gone();
                Ok(None)
            }
            Err(error) => {
                tracing::warn!(%error, id = &*id, "a request that had been given up could not be queued again");
                self.debts.owe_refusal();
                self.put_back(claim, tries);
                Err(Refusal::Storage)
            }
        }
    }

    /// A client was answered: its entry has done its duty.
    pub(super) async fn answered_live(&self, claim: Claim, tries: &Tries) {
        let (id, retries, now) = (Arc::clone(&claim.id), claim.retries, unix_ms(SystemTime::now()));
        let kept = tries.attempts();
        let done = self.store.write(move |tx| entries::done(tx, &id, retries, &kept, None, now)).await;
        if let Err(error) = done {
            tracing::warn!(%error, id = &*claim.id, "an answered request could not be marked done");
            self.debts.owe(&claim.id, Debt::Done { retries, tries: tries.attempts(), answer: None });
        }
        self.events.tell(Event::QueueDone { id: claim.id.to_string() });
        claim.gone();
    }

    /// The entry is noted as being tried.
    pub(super) fn begin(&self, claim: &Claim) {
        let (id, lease) = (Arc::clone(&claim.id), self.lease.clone());
        let until = unix_ms(SystemTime::now() + LEASE);
        self.store.note(move |tx| entries::lease(tx, &id, &lease, until));
    }

    /// Nothing came of a try that was begun: its entry stands where it stood.
    pub(super) fn put_back(&self, claim: Claim, tries: &Tries) {
        let state = if claim.was_dead() { State::Dead } else { State::Waiting };
        let (id, tries) = (Arc::clone(&claim.id), tries.attempts());
        self.store.note(move |tx| entries::put_back(tx, &id, state, None, &tries).map(drop));
        drop(claim);
    }

    /// What was sent, and the entry is noted as being tried.
    pub(super) async fn take(&self, claim: &Claim) -> Result<Option<entries::Request>, Failure> {
        self.begin(claim);
        let id = Arc::clone(&claim.id);
        self.store.read(move |view| entries::request(view, &id)).await
    }

    /// The entries that are being tried are so on.
    pub(super) fn renew(&self) {
        let (lease, until) = (self.lease.clone(), unix_ms(SystemTime::now() + LEASE));
        self.store.note(move |tx| entries::renew(tx, &lease, until));
    }

    /// An answer came, with so many retries used up: it is on disk before the entry is called done, and else kept in
    /// memory: it is paid for.
    pub(super) async fn answered(&self, claim: Claim, answer: Answer, retries: u32, tries: &Tries) {
        let (id, now, answer) = (Arc::clone(&claim.id), unix_ms(SystemTime::now()), Arc::new(answer));
        let (name, kept, attempts) = (Arc::clone(&id), Arc::clone(&answer), tries.attempts());
        let done = self.store.write(move |tx| entries::done(tx, &name, retries, &attempts, Some(&kept), now)).await;
        if let Err(error) = &done {
            tracing::warn!(%error, id = &*id, "an answer could not be stored; it is kept in memory");
            let (tries, answer) = (tries.attempts(), Some(Arc::clone(&answer)));
            self.debts.owe(&id, Debt::Done { retries, tries, answer });
        }
        self.events.tell(Event::QueueDone { id: id.to_string() });
        claim.done(Moment::now(), answer, retries, done.is_ok());
    }

    /// A retry failed; it counts, if an endpoint was asked that was not in doubt.
    pub(super) fn failed(&self, claim: Claim, tries: &Tries, why: String, counts: bool, config: &Config) {
        let (id, clocks) = (Arc::clone(&claim.id), Clocks::now());
        let next = schedule::after_failure(config, claim.retries, counts, fastrand::f64());
        let (state, used, due) = match next {
            Next::Again(pause, used) => (State::Waiting, used, clocks.moment.after(pause)),
            Next::Dead(used) => (State::Dead, used, clocks.moment),
        };
        let outcome = outcome(state, used, why.clone(), clocks.time_at(due), tries);
        let (name, now) = (Arc::clone(&id), unix_ms(clocks.time));
        self.store.note(move |tx| entries::failed(tx, &name, &outcome, now).map(drop));
        match next {
            Next::Again(..) => claim.wait(due, used),
            Next::Dead(_) => self.dead(claim, used, why),
        }
    }

    /// It cannot be answered by trying again.
    pub(super) fn refused_upstream(&self, claim: Claim, tries: &Tries, why: String) {
        let (id, used, now) = (Arc::clone(&claim.id), claim.retries + 1, SystemTime::now());
        let outcome = outcome(State::Dead, used, why.clone(), now, tries);
        self.store.note(move |tx| entries::failed(tx, &id, &outcome, unix_ms(now)).map(drop));
        self.dead(claim, used, why);
    }

    fn dead(&self, claim: Claim, used: u32, why: String) {
        self.events.tell(Event::QueueDead { id: claim.id.to_string(), reason: why });
        claim.give_up(used);
    }

    /// Nobody takes it now: it is looked at again later, as if nothing had been.
    pub(super) fn postpone(claim: Claim, wait: Duration) {
        let retries = claim.retries;
        claim.wait(Moment::now().after(wait), retries);
    }

    /// The same for one whose try was begun.
    pub(super) fn put_off(&self, claim: Claim, wait: Duration) {
        let (id, clocks) = (Arc::clone(&claim.id), Clocks::now());
        let due = unix_ms(clocks.time_at(clocks.moment.after(wait)));
        self.store.note(move |tx| entries::put_back(tx, &id, State::Waiting, Some(due), &[]).map(drop));
        Self::postpone(claim, wait);
    }

    /// The answer of an entry, to be handed out.
    pub(super) async fn hand_out(&self, id: &Arc<str>, unstored: Option<Arc<Answer>>) -> Option<Arc<Answer>> {
        self.handed(id);
        let name = Arc::clone(id);
        match unstored {
            Some(answer) => Some(answer),
            None => self.store.read(move |view| entries::answer(view, &name)).await.ok().flatten().map(Arc::new),
        }
    }

    /// The answer of an entry goes to a client.
    pub(super) fn handed(&self, id: &Arc<str>) {
        let (name, now) = (Arc::clone(id), unix_ms(SystemTime::now()));
        self.book.handed(id);
        self.debts.handed(id);
        self.store.note(move |tx| entries::handed(tx, &name, now));
    }

    /// Takes out what was done or given up longer ago than the file keeps it.
    pub(super) async fn expire(&self, keep: Duration) {
        let before = unix_ms(SystemTime::now().checked_sub(keep).unwrap_or(SystemTime::UNIX_EPOCH));
        let gone = self.store.write(move |tx| entries::expire(tx, before)).await;
        gone.unwrap_or_default().iter().for_each(|id| self.book.remove(id));
    }
}

/// An entry as the book has it.
fn known(entry: &Entry, clocks: Clocks) -> New {
    let at = if entry.state == State::Waiting { entry.due } else { entry.updated };
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(at).unwrap_or_default());
    let twin = entry.session.as_deref().zip(entry.fingerprint.as_slice().try_into().ok());
    New {
        id: entry.id.as_str().into(),
        twin: twin.map(|(session, fingerprint)| Twin {
            client: entry.client.as_deref().map(Arc::from),
            session: session.into(),
            fingerprint,
        }),
        model: entry.model.as_deref().map(Arc::from),
        state: entry.state,
        retries: entry.retries,
        at: clocks.moment_at(at),
        handed: entry.handed || entry.status.is_none(),
    }
}

fn outcome(state: State, retries: u32, reason: String, due: SystemTime, tries: &Tries) -> Outcome {
    Outcome { state, retries, reason, due: unix_ms(due), tries: tries.attempts() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::entries::{Bounds, Request};

    /// A shelf with one waiting entry, `one` of session `s`.
    async fn shelf() -> (tempfile::TempDir, Shelf) {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Store::open(dir.path()).expect("opens");
        let entry = Entry {
            id: "one".to_owned(),
            state: State::Waiting,
            retries: 2,
            reason: String::new(),
            enqueued: 1,
            updated: 1,
            due: 1,
            client: None,
            session: Some("s".to_owned()),
            fingerprint: vec![7; 32],
            model: None,
            stream: false,
            bytes: 1,
            attempts: Vec::new(),
            status: None,
            handed: false,
        };
        let request = Request { target: "/v1/messages".to_owned(), headers: Vec::new(), body: b"{}".to_vec() };
        let bounds = Bounds { entries: 9, bytes: 99 };
        store.write(move |tx| entries::add(tx, &entry, &request, bounds)).await.expect("is written");
        (dir, Shelf::open(store, Events::new()).await)
    }

    async fn kept(shelf: &Shelf) -> Option<Entry> {
        shelf.store.read(|view| entries::get(view, "one")).await.expect("it is readable")
    }

    fn answer() -> Answer {
        Answer { status: 200, headers: Vec::new(), body: b"{}".to_vec() }
    }

    #[tokio::test]
    async fn what_was_refused_is_taken_out_even_if_it_was_written_late() {
        let (_dir, shelf) = shelf().await;
        // The write came late, and the note behind it was lost.
        shelf.debts.owe(&"one".into(), Debt::Refused);
        shelf.pay().await;
        assert_eq!(kept(&shelf).await, None);
        assert_eq!(shelf.debts.len(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_could_not_be_stored_is_owed_and_stored_when_that_is_possible() {
        let (dir, shelf) = shelf().await;
        let other = rusqlite::Connection::open(dir.path().join(crate::store::FILE)).expect("opens");
        other.execute_batch("BEGIN IMMEDIATE").expect("is free");
        let claim = shelf.book.next(Moment::now()).expect("it is due");
        shelf.answered(claim, answer(), 3, &Tries::none()).await;
        shelf.debts.owe_refusal();
        assert_eq!(kept(&shelf).await.map(|entry| entry.state), Some(State::Waiting), "not on disk");
        shelf.pay().await;
        assert_eq!((shelf.debts.len(), shelf.refusals()), (1, 1), "what cannot be paid is owed on");
        other.execute_batch("ROLLBACK").expect("is open");
        shelf.pay().await;
        let entry = kept(&shelf).await.expect("it is there");
        assert_eq!((entry.state, entry.retries, entry.status), (State::Done, 3, Some(200)));
        let counted = shelf.store.read(entries::statistics).await.expect("it is readable").figures.refused;
        assert_eq!((counted, shelf.refusals()), (1, 0), "once");
    }

    #[tokio::test]
    async fn an_entry_that_was_taken_out_is_not_kept_on() {
        let (_dir, shelf) = shelf().await;
        let claim = shelf.book.next(Moment::now()).expect("it is due");
        shelf.store.write(|tx| entries::remove(tx, "one")).await.expect("is written");
        assert_eq!(shelf.keep_on(claim, &Tries::none(), &Config::default()).await, Ok(None));
        assert!(!shelf.book.knows("s"));
    }
}
