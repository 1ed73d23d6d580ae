//! Disks that are full.

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
