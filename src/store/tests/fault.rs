//! Disks that are full.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::mpsc;

use super::*;
use crate::store::Standing;

/// As if the disk had no room for more than `pages`.
fn cap(pages: u32) -> impl FnOnce(&Tx<'_>) -> Result<(), Failure> + Send + 'static {
    move |tx| {
        tx.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
        Ok(())
    }
}

#[tokio::test]
async fn a_full_disk_fails_that_commit_and_the_next_one_tries_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let mut standing = store.standing();
    store.write(append(1)).await.expect("is written");
    store.write(cap(1)).await.expect("as many as there are");
    let big = Switch { reason: "x".repeat(100_000), ..switch(2) };
    assert_eq!(store.write(move |tx| switches::append(tx, &big)).await, Err(Failure::Full));
    let told = standing.wait_for(|standing| !standing.is_good()).await.expect("the writer lives").clone();
    assert!(matches!(&told, Standing::ReadOnly { why, .. } if &**why == "the disk is full"), "{told:?}");
    assert_eq!(last(&store).await, [1], "reading goes on");

    store.note(cap(1_000_000));
    standing.wait_for(Standing::is_good).await.expect("the writer lives");
    store.write(append(3)).await.expect("is written again");
    assert_eq!(last(&store).await, [3, 1]);
}

#[tokio::test]
async fn another_program_that_holds_the_file_fails_jobs_but_not_the_store() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    let other = rusqlite::Connection::open(dir.path().join(crate::store::FILE)).expect("opens");
    other.execute_batch("BEGIN IMMEDIATE").expect("is free");
    let failed = store.write(append(1)).await;
    assert!(matches!(failed, Err(Failure::Busy | Failure::Late)), "{failed:?}");
    assert!(store.standing().borrow().is_good());
    other.execute_batch("ROLLBACK").expect("is open");
    store.write(append(2)).await.expect("is written");
    assert_eq!(last(&store).await, [2]);
}

#[tokio::test]
async fn a_disk_that_fails_ends_writing_until_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    store.write(append(1)).await.expect("is written");
    let failed = Failure::Disk("a sync failed".into());
    let told = failed.clone();
    assert_eq!(store.write::<(), _>(move |_| Err(told)).await, Err(failed.clone()));
    assert_eq!(store.write(append(2)).await, Err(failed), "nothing is tried again");
    assert!(matches!(*store.standing().borrow(), Standing::ReadOnly { .. }));
    assert_eq!(last(&store).await, [1], "reading goes on");
    drop(store);
    let again = Store::open(dir.path()).expect("opens");
    again.write(append(3)).await.expect("is written");
    assert_eq!(last(&again).await, [3, 1]);
}

#[tokio::test]
async fn a_commit_that_writes_nothing_does_not_speak_for_the_disk() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    store.write(cap(1)).await.expect("as many as there are");
    let big = Switch { reason: "x".repeat(100_000), ..switch(2) };
    assert_eq!(store.write(move |tx| switches::append(tx, &big)).await, Err(Failure::Full));
    let before = std::fs::metadata(dir.path().join("state.db-wal")).expect("it is there").len();
    store.flush().await.expect("there is room for a page that is there");
    assert!(store.standing().borrow().is_good());
    let after = std::fs::metadata(dir.path().join("state.db-wal")).expect("it is there").len();
    assert!(after > before, "the disk has taken something");
}

#[tokio::test]
async fn a_disk_that_comes_back_gets_what_memory_held() {
    let dir = tempfile::tempdir().expect("a directory");
    let (taken, state) = (dir.path().join("taken"), dir.path().join("taken/state"));
    std::fs::write(&taken, "").expect("is ours");
    let free = Arc::new(AtomicBool::new(false));
    let (leave, (asks, mut asked)) = (Arc::clone(&free), mpsc::unbounded_channel());
    let may = move || asks.send(()).is_ok() && leave.load(Ordering::SeqCst);
    let store = Store::open_when_possible(&state, may).expect("opens");
    let looking = tokio::spawn(store.clone().look_for_disk());
    let mut standing = store.standing();
    assert!(matches!(*standing.borrow(), Standing::Memory { .. }));
    store.note(append(1));
    assert!(matches!(store.write(append(9)).await, Err(Failure::Memory(_))), "what is to last is refused");
    std::fs::remove_file(&taken).expect("is ours");
    asked.recv().await.expect("the writer looks for the disk");
    store.flush().await.expect("memory takes it");
    assert!(!state.exists(), "without leave it is not used");
    free.store(true, Ordering::SeqCst);
    standing.wait_for(Standing::is_good).await.expect("the writer lives");
    store.write(append(2)).await.expect("is written");
    assert_eq!((last(&store).await, read_beside(&state)), (vec![2, 1], vec![2, 1]));
    looking.abort();
    drop(looking.await);
    drop(store);
    assert!(!state.join("state.db-wal").exists(), "the writer is the last to leave, and tidies up");
}

#[tokio::test]
async fn memory_begins_with_what_can_be_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let store = Store::open(&state).expect("opens");
    store.write(append(1)).await.expect("is written");
    drop(store);
    let memory = crate::store::open::in_memory("a test", Some(&state)).expect("there is memory").connection;
    let kept: i64 = memory.query_row("SELECT at FROM switches", [], |row| row.get(0)).expect("it is copied");
    assert_eq!(kept, 1);
}
