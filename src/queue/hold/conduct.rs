//! The task that gives turns.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::line::{Caller, Line, Turn};
use crate::dispatch::unanswered::Leave;
use crate::upstream::bell::Bell;

/// A turn takes microseconds; a worker that is stuck must not hold up the others.
const PATIENCE: Duration = Duration::from_secs(1);

/// Gives turns whenever `bell` rings, and when somebody's time has come. Ends only when it is dropped.
pub async fn conduct(line: Arc<Line>, bell: Bell) {
    loop {
        let rang = tokio::select! {
            () = bell.rung() => true,
            () = line.due() => false,
        };
        round(&line, rang).await;
    }
}

/// Calls one after the other; behind one that nobody takes, the others of its kind are spared.
async fn round(line: &Line, rang: bool) {
    let (mut refused, mut last) = (HashSet::new(), None);
    while let Some((rank, caller)) = line.next(last, &refused, rang) {
        last = Some(rank);
        let kind = caller.kind;
        if call(caller).await == Some(Leave::Refused) {
            refused.insert(kind);
        }
    }
}

/// Gives one turn, and waits for what it comes to.
async fn call(caller: Caller) -> Option<Leave> {
    let (turn, said) = oneshot::channel();
    // Full: the last turn was not even taken. Closed: it has just left.
    caller.call.try_send(Turn(turn)).ok()?;
    tokio::time::timeout(PATIENCE, said).await.ok()?.ok()
}
