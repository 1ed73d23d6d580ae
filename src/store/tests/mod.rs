//! The store under load, failures and kills.

mod child;
mod conversations;
mod entries;
mod fault;
mod files;
mod group;

use std::path::Path;
use std::sync::mpsc;

use super::switches::{self, Switch};
use super::{Failure, Reader, Store, Tx};

fn switch(at: i64) -> Switch {
    let [from, to, cause, reason] = ["production", "backup", "failover", "3 failures"].map(str::to_owned);
    Switch { at, from, to, cause, reason }
}

/// When the last switches were, the newest first.
async fn last(store: &Store) -> Vec<i64> {
    let read = store.read(|view| switches::last(view, 2000)).await.expect("is readable");
    read.iter().map(|switch| switch.at).collect()
}

fn read_beside(state: &Path) -> Vec<i64> {
    let mut reader = Reader::open(state).expect("is readable").expect("is there");
    let read = reader.read(|view| switches::last(view, 2000)).expect("is readable");
    read.iter().map(|switch| switch.at).collect()
}

fn append(at: i64) -> impl FnOnce(&Tx<'_>) -> Result<(), Failure> + Send + 'static {
    move |tx| switches::append(tx, &switch(at))
}

/// Keeps the writer busy until the sender is used or dropped.
async fn block(store: &Store) -> mpsc::Sender<()> {
    let (release, held) = mpsc::channel();
    let (begun, running) = tokio::sync::oneshot::channel();
    store.note(move |_| {
        begun.send(()).expect("the test listens");
        // Either way the writer goes on.
        let _ = held.recv();
        Ok(())
    });
    running.await.expect("the writer begins");
    release
}
