//! Which files are made, taken and refused.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use rusqlite::Connection;

use super::*;
use crate::store::{FILE, OpenError, Standing};

/// What opening says; the file must be as it was.
fn refusal(state: &Path) -> String {
    let before = fs::read(state.join(FILE)).expect("is there");
    let error = Store::open(state).expect_err("is refused");
    assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
    assert!(fs::read(state.join(FILE)).expect("is there") == before, "untouched");
    error.to_string()
}

#[tokio::test]
async fn everything_it_makes_is_private() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("qcc/state");
    let store = Store::open(&state).expect("opens");
    store.write(append(1)).await.expect("is written");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o7777;
    assert_eq!(mode(&state), 0o700);
    for name in [FILE, "state.db-wal", "state.db-shm"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
}

#[test]
fn what_is_not_ours_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join(FILE);
    fs::write(&file, "version: 1\n").expect("writes");
    let said = refusal(dir.path());
    assert!(said.contains("state.db` is not a database; move it away"), "{said}");

    fs::remove_file(&file).expect("is ours");
    let foreign = Connection::open(&file).expect("opens");
    foreign.execute_batch("CREATE TABLE books (title TEXT)").expect("is made");
    drop(foreign);
    let said = refusal(dir.path());
    assert!(said.contains("is not a database of qcc"), "{said}");
    assert!(Reader::open(dir.path()).expect_err("is refused").to_string().contains("is not a database of qcc"));
}

#[tokio::test]
async fn a_newer_version_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    drop(Store::open(dir.path()).expect("opens"));
    let file = Connection::open(dir.path().join(FILE)).expect("opens");
    file.execute_batch("PRAGMA user_version = 99").expect("is set");
    drop(file);
    let said = refusal(dir.path());
    assert!(said.contains("newer qcc (version 99 of its tables); run that qcc"), "{said}");
    assert!(Reader::open(dir.path()).is_err());
}

#[tokio::test]
async fn damage_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    (0..500).for_each(|at| store.note(append(at)));
    drop(store);
    let file = dir.path().join(FILE);
    let mut bytes = fs::read(&file).expect("is there");
    let middle = bytes.len() / 2;
    bytes[middle..middle + 8192].fill(0xA5);
    fs::write(&file, bytes).expect("is ours");
    let said = refusal(dir.path());
    assert!(said.contains("is damaged") && said.contains("move it away"), "{said}");
}

#[test]
fn links_are_not_followed() {
    let dir = tempfile::tempdir().expect("a directory");
    let elsewhere = dir.path().join("elsewhere");
    fs::write(&elsewhere, "").expect("writes");
    for name in [FILE, "state.db-wal", "state.db-shm"] {
        let state = dir.path().join(name).with_extension("d");
        fs::create_dir_all(&state).expect("makes it");
        symlink(&elsewhere, state.join(name)).expect("a link");
        let error = Store::open(&state).expect_err("is refused").to_string();
        assert!(error.contains("is not a plain file"), "{error}");
        assert_eq!(fs::read(&elsewhere).expect("is there"), b"");
        fs::remove_dir_all(&state).expect("is ours");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_used_gives_memory_that_says_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let taken = dir.path().join("taken");
    fs::write(&taken, "").expect("writes");
    let store = Store::open(&taken.join("state")).expect("goes on");
    let standing = store.standing().borrow().clone();
    let Standing::Memory { why } = standing else { panic!("{standing:?}") };
    assert!(why.contains("taken/state"), "{why}");
    assert_eq!(store.write(append(1)).await, Err(Failure::Memory(why)), "it would not last");
    store.note(append(2));
    assert_eq!(last(&store).await, [2]);
    assert_eq!(store.lost(), 0);
}

#[tokio::test]
async fn a_reader_needs_no_proxy_and_leaves_no_trace() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("odd name?#%41");
    assert!(Reader::open(&state).expect("no error").is_none(), "no directory");
    fs::create_dir(&state).expect("makes it");
    assert!(Reader::open(&state).expect("no error").is_none(), "no file");

    let store = Store::open(&state).expect("opens");
    store.write(append(1)).await.expect("is written");
    let mut beside = Reader::open(&state).expect("is readable").expect("is there");
    store.write(append(2)).await.expect("nothing is locked");
    let seen = beside.read(|view| switches::last(view, 10)).expect("is readable");
    assert_eq!(seen.len(), 2);
    assert!(beside.written().is_some());
    drop((beside, store));

    let names = || {
        let entries = fs::read_dir(&state).expect("is there");
        entries.map(|entry| entry.expect("is there").file_name()).collect::<Vec<_>>()
    };
    assert_eq!(names(), [FILE], "a clean end leaves one file");
    let before = fs::read(state.join(FILE)).expect("is there");
    assert_eq!(read_beside(&state), [2, 1]);
    assert_eq!(names(), [FILE]);
    assert!(fs::read(state.join(FILE)).expect("is there") == before);
}

#[tokio::test]
async fn a_log_without_its_index_is_read_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Store::open(dir.path()).expect("opens");
    store.write(append(1)).await.expect("is written");
    let copy = tempfile::tempdir().expect("a directory");
    for name in [FILE, "state.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).expect("is there");
    }
    assert_eq!(read_beside(copy.path()), [1]);
}
