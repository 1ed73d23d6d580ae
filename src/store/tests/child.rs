//! What only another process can show: kills, and a disk that fails. The tests marked as ignored are those processes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::store::Standing;

/// Tells a child where its state is.
const STATE: &str = "QCC_TEST_STATE";

/// This test binary, to run the ignored test `name` on `state`, after `prelude` in a shell.
fn child(prelude: &str, name: &str, state: &Path) -> Command {
    let mut command = Command::new("sh");
    let script = format!("{prelude} exec \"$0\" --ignored --exact --nocapture \"$1\"");
    let name = format!("store::tests::child::{name}");
    command.arg("-c").arg(script).arg(std::env::current_exe().expect("we run")).arg(name).env(STATE, state);
    command
}

fn state() -> Store {
    let state = std::env::var_os(STATE).expect("runs only as a child");
    Store::open(Path::new(&state)).expect("opens")
}

#[tokio::test]
#[ignore = "is run by another test"]
async fn writes_until_killed() {
    let store = state();
    for at in 1.. {
        // Several at once, so that commits are shared.
        let three = tokio::join!(store.write(append(at)), store.write(append(at)), store.write(append(at)));
        assert_eq!(three, (Ok(()), Ok(()), Ok(())));
        println!("done {at}");
    }
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut kept = 0;
    for round in 1..=5 {
        let mut running =
            child("", "writes_until_killed", dir.path()).stdout(Stdio::piped()).spawn().expect("a shell runs");
        let out = BufReader::new(running.stdout.take().expect("is piped"));
        let acknowledged = out.lines().map_while(Result::ok).filter(|line| line.starts_with("done "));
        let seen = acknowledged.take(7 * round).count();
        running.kill().and_then(|()| running.wait()).expect("is our child");
        kept += 3 * seen;
        let read = read_beside(dir.path()).len();
        assert!(read >= kept, "round {round}: {read} of {kept}");
        kept = read;
    }
    assert!(Store::open(dir.path()).is_ok(), "what is left is whole");
}

#[tokio::test]
#[ignore = "is run by another test"]
async fn writes_until_the_disk_refuses() {
    let store = state();
    let big = || Switch { reason: "x".repeat(50_000), ..switch(1) };
    let failure = loop {
        let switch = big();
        if let Err(failure) = store.write(move |tx| switches::append(tx, &switch)).await {
            break failure;
        }
    };
    assert!(matches!(failure, Failure::Unwritten(_)), "{failure:?}");
    let standing = store.standing().borrow().clone();
    assert!(matches!(standing, Standing::ReadOnly { .. }), "{standing:?}");
    let switch = big();
    assert_eq!(store.write(move |tx| switches::append(tx, &switch)).await, Err(failure), "it is tried again");
    assert_eq!(store.flush().await, Ok(()), "what there is room for is written");
    assert!(store.standing().borrow().is_good());
    assert!(!last(&store).await.is_empty(), "reading goes on");
    println!("done");
}

#[test]
fn a_disk_that_refuses_to_be_written_fails_what_is_written_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let limited = "trap '' XFSZ; ulimit -f 512;";
    let run = child(limited, "writes_until_the_disk_refuses", dir.path()).output().expect("a shell runs");
    let said = [run.stdout, run.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert!(said[0].contains("done"), "{said:?}");
    let again = Store::open(dir.path()).expect("opens");
    assert!(again.standing().borrow().is_good());
}
