//! Jobs, transactions, and the time they may take.

use std::sync::mpsc;

use super::*;
use crate::store::WAITING;

#[tokio::test]
async fn what_waits_is_one_transaction_and_a_job_that_fails_is_undone_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let release = block(&store).await;
    let (seen, committed) = mpsc::channel();
    let state = dir.path().to_owned();
    let failing = |tx: &Tx<'_>| -> Result<(), Failure> {
        switches::append(tx, &switch(2))?;
        Ok(tx.connection.execute_batch("INSERT INTO nowhere VALUES (1)")?)
    };
    let panicking = |tx: &Tx<'_>| -> Result<(), Failure> {
        switches::append(tx, &switch(3))?;
        panic!("a bug")
    };
    let looking = move |tx: &Tx<'_>| {
        switches::append(tx, &switch(4))?;
        let inside = switches::last(tx, 10)?.len();
        seen.send((inside, read_beside(&state).len())).expect("the test listens");
        Ok(())
    };
    let (one, two, three, four, ()) = tokio::join!(
        store.write(append(1)),
        store.write(failing),
        store.write(panicking),
        store.write(looking),
        async { release.send(()).expect("the writer waits") },
    );
    assert_eq!((one, four), (Ok(()), Ok(())));
    assert!(matches!(two, Err(Failure::Statement(_))), "{two:?}");
    assert_eq!(three, Err(Failure::Panicked));
    assert_eq!(committed.recv(), Ok((2, 0)), "seen inside, and nothing of it outside before the one commit");
    assert_eq!(last(&store).await, [4, 1]);
    assert_eq!(read_beside(dir.path()), [4, 1]);
}

#[tokio::test]
async fn a_blocked_writer_fails_writes_in_two_seconds_and_delays_no_reader() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    store.write(append(1)).await.expect("is written");
    let release = block(&store).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    assert_eq!(store.write(append(2)).await, Err(Failure::Late));
    assert_eq!(begun.elapsed().as_secs(), 2);
    tokio::time::resume();
    assert_eq!(last(&store).await, [1]);
    drop(release);
    store.flush().await.expect("goes on");
    assert_eq!(last(&store).await, [1], "what its caller gave up is not begun");
}

#[tokio::test]
async fn notes_are_in_order_and_dropped_and_counted_when_the_line_is_full() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let release = block(&store).await;
    let sent = i64::try_from(WAITING).expect("is small") + 5;
    (0..sent).for_each(|at| store.note(append(at)));
    assert_eq!(store.lost(), 5);
    drop(release);
    store.flush().await.expect("goes on");
    let kept: Vec<i64> = (24..sent - 5).rev().collect();
    assert_eq!(last(&store).await, kept, "the last thousand of those that found room");
}

#[tokio::test]
async fn the_last_clone_waits_for_what_was_sent() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    (1..=300).for_each(|at| store.note(append(at)));
    drop(store);
    assert_eq!(read_beside(dir.path()).len(), 300);
    let again = Store::open(dir.path()).expect("opens");
    assert_eq!(last(&again).await.first(), Some(&300));
}
