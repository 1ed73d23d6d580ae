//! What is kept of requests, and its figures.

use super::Failure;
use crate::store::Store;
use crate::store::attempts::Attempt;
use crate::store::entries::{
    self, Added, Answer, Bounds, Entry, Figures, Outcome, Request, State, Statistics, add, answer, clear, done, expire,
    failed, get, handed, lease, list, put_back, remove, retry, statistics, void_leases,
};

const ROOM: Bounds = Bounds { entries: 3, bytes: 1000 };

fn entry(id: &str, bytes: u64) -> Entry {
    Entry {
        id: id.to_owned(),
        state: State::Waiting,
        retries: 0,
        reason: "x".to_owned(),
        enqueued: 10,
        updated: 10,
        due: 20,
        client: None,
        session: Some("s".to_owned()),
        fingerprint: vec![7; 32],
        model: Some("m".to_owned()),
        stream: true,
        bytes,
        attempts: vec![attempt("a")],
        status: None,
        handed: false,
    }
}

fn attempt(id: &str) -> Attempt {
    let endpoint = format!("p/{id}");
    Attempt { at: 5, endpoint, outcome: "server".to_owned(), status: 500, detail: "x".to_owned() }
}

fn request() -> Request {
    Request { target: "/v1/messages?beta=true".to_owned(), headers: b"a: b\r\n".to_vec(), body: vec![0, 255, 10] }
}

async fn keep(store: &Store, id: &str, bytes: u64) -> Result<Added, Failure> {
    let entry = entry(id, bytes);
    store.write(move |tx| add(tx, &entry, &request(), ROOM)).await
}

fn store() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    (dir, store)
}

async fn found(store: &Store, id: &'static str) -> Entry {
    store.read(|view| get(view, id)).await.expect("is readable").expect("is there")
}

async fn states(store: &Store) -> Statistics {
    store.read(statistics).await.expect("is readable")
}

#[tokio::test]
async fn an_entry_comes_back_as_it_was_and_bounds_hold() {
    let (_dir, store) = store();
    assert_eq!(keep(&store, "a", 400).await, Ok(Added::Kept));
    assert_eq!(store.read(|view| get(view, "a")).await, Ok(Some(entry("a", 400))));
    assert_eq!(store.read(|view| entries::request(view, "a")).await, Ok(Some(request())));
    assert_eq!(keep(&store, "b", 601).await, Ok(Added::FullOfBytes));
    assert_eq!(keep(&store, "b", 600).await, Ok(Added::Kept));
    assert_eq!(keep(&store, "c", 0).await, Ok(Added::Kept));
    assert_eq!(keep(&store, "d", 0).await, Ok(Added::FullOfEntries));
    assert!(keep(&store, "a", 0).await.is_ok_and(|added| added == Added::FullOfEntries));
    let listed = store.read(|view| list(view, Some(State::Waiting), 2)).await.expect("is readable");
    assert_eq!(listed.len(), 2);
    let states = states(&store).await;
    assert_eq!((states.bytes, states.figures.enqueued, states.figures.refused), (1000, 3, 3));
}

#[tokio::test]
async fn a_life_is_counted_and_an_answer_takes_the_place_of_its_request() {
    let (_dir, store) = store();
    for id in ["answered", "given up", "live"] {
        keep(&store, id, 100).await.expect("there is room");
    }
    let outcome =
        |state, retries| Outcome { state, retries, reason: "y".to_owned(), due: 30, tries: vec![attempt("b")] };
    store.write(|tx| lease(tx, "answered", "me", 99)).await.expect("is written");
    assert_eq!(states(&store).await.by_state, [2, 1, 0, 0]);
    assert_eq!(store.write(|tx| void_leases(tx, "other", 5)).await, Ok(1));
    let again = outcome(State::Waiting, 1);
    store.write(move |tx| failed(tx, "answered", &again, 40)).await.expect("is written");
    let dead = outcome(State::Dead, 1);
    store.write(move |tx| failed(tx, "given up", &dead, 40)).await.expect("is written");
    let kept = Answer { status: 200, headers: b"h: v\r\n".to_vec(), body: vec![1; 50] };
    let expected = kept.clone();
    assert_eq!(store.write(move |tx| done(tx, "answered", 2, &[attempt("c")], Some(&kept), 50)).await, Ok(true));
    assert_eq!(store.write(|tx| done(tx, "answered", 2, &[attempt("d")], None, 50)).await, Ok(false), "once");
    assert_eq!(store.write(|tx| done(tx, "live", 0, &[attempt("e")], None, 50)).await, Ok(true));
    store.write(|tx| handed(tx, "answered", 60)).await.expect("is written");
    let statistics = states(&store).await;
    assert_eq!(statistics.figures, Figures { enqueued: 3, retried: 3, succeeded: 2, failed: 1, refused: 0 });
    assert_eq!((statistics.by_state, statistics.bytes, statistics.updated), ([0, 0, 2, 1], 156, Some(60)));
    assert_eq!(store.read(|view| answer(view, "answered")).await, Ok(Some(expected)));
    assert_eq!(store.read(|view| entries::request(view, "answered")).await, Ok(None));
    let answered = found(&store, "answered").await;
    assert!(answered.handed);
    assert_eq!(answered.attempts, ["a", "b", "c"].map(attempt), "every try, and what came too late is none");
    let whom = [answered.reason, found(&store, "live").await.reason];
    assert_eq!(whom, ["answered by p/c", "answered to a re-send by p/e"]);
}

#[tokio::test]
async fn by_hand_and_by_age_entries_go_or_come_back() {
    let (_dir, store) = store();
    for id in ["a", "b", "c"] {
        keep(&store, id, 1).await.expect("there is room");
    }
    let dead = Outcome { state: State::Dead, retries: 5, reason: "y".to_owned(), due: 0, tries: Vec::new() };
    store.write(move |tx| failed(tx, "a", &dead, 100)).await.expect("is written");
    store.write(|tx| done(tx, "b", 1, &[], None, 200)).await.expect("is written");
    assert_eq!(store.write(|tx| retry(tx, "b", 300)).await, Ok(false), "it is done");
    assert_eq!(store.write(|tx| expire(tx, 150)).await, Ok(vec!["a".to_owned()]), "what waits never expires");
    assert_eq!(store.write(|tx| put_back(tx, "c", State::Dead, None, &[attempt("b")])).await, Ok(true));
    assert_eq!(store.write(|tx| retry(tx, "c", 300)).await, Ok(true));
    let by_hand = found(&store, "c").await;
    assert_eq!((by_hand.state, by_hand.due, &*by_hand.reason), (State::Waiting, 300, "x"), "why it is there stays");
    assert_eq!(by_hand.attempts, ["a", "b"].map(attempt));
    assert_eq!(store.write(|tx| clear(tx, Some(State::Done))).await, Ok(1));
    assert_eq!(store.write(|tx| remove(tx, "b")).await, Ok(false));
    assert_eq!(store.write(|tx| clear(tx, None)).await, Ok(1));
}

#[tokio::test]
async fn a_full_disk_keeps_nothing_new_and_loses_nothing_old() {
    let (_dir, store) = store();
    keep(&store, "a", 1).await.expect("there is room");
    store
        .write(|tx| {
            tx.connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(()))?;
            Ok(())
        })
        .await
        .expect("as many pages as there are");
    let (entry, big) = (entry("b", 1), Request { body: vec![1; 200_000], ..request() });
    let full = store.write(move |tx| add(tx, &entry, &big, ROOM)).await;
    assert_eq!(full, Err(Failure::Full));
    let kept = store.read(|view| list(view, None, 9)).await.expect("reading goes on");
    assert_eq!((kept.len(), states(&store).await.figures.enqueued), (1, 1));
}
