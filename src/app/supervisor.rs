//! Tells systemd, or whoever else set `NOTIFY_SOCKET`, how the proxy is: ready, reloading, stopping.
//!
//! - Ready is told once it listens, and again after every look at the file: who waits for a reload takes it for the end.
//! - The end may take as long as `server.drain` says: the time a supervisor grants is extended by that.
//! - A supervisor that does not listen holds nothing up for longer than a second.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState::{ExtendTimeoutUsec, Ready, Reloading, Status, Stopping};
use sd_notify::{NotifyState, notify};
use tokio::sync::watch;

use crate::proxy::serve::Phase;
use crate::snapshot::SnapshotCell;
use crate::snapshot::reload::ReloadStatus;

/// Longest wait for the supervisor to take a message.
const PATIENCE: Duration = Duration::from_secs(1);
/// What the end takes besides the drain.
const PARTING: Duration = Duration::from_secs(10);

/// Tells that it is ready, of every look at the file, and of the end.
pub(super) async fn report(
    mut status: watch::Receiver<ReloadStatus>,
    mut phase: watch::Receiver<Phase>,
    cell: SnapshotCell,
) {
    loop {
        let words = words(&status.borrow_and_update());
        tell(move || notify(&[Ready, Status(&words)])).await;
        tokio::select! {
            Ok(()) = status.changed() => {}
            _ = phase.wait_for(|phase| *phase >= Phase::Draining) => break,
        }
    }
    let granted = cell.load().config.server.drain.get() + PARTING;
    let granted = u32::try_from(granted.as_micros()).unwrap_or(u32::MAX);
    tell(move || notify(&[Stopping, ExtendTimeoutUsec(granted), Status("finishing requests")])).await;
}

/// Tells that a reload begins; [`report`] tells of its end.
pub(super) async fn reloading() {
    tell(|| notify(&[Reloading, NotifyState::monotonic_usec_now()?])).await;
}

/// Whether a supervisor started this very process, and not only the shell it was typed into.
pub(super) fn is_there() -> bool {
    let own = |value: std::ffi::OsString| value.to_str() == Some(&std::process::id().to_string());
    std::env::var_os("NOTIFY_SOCKET").is_some() || std::env::var_os("SYSTEMD_EXEC_PID").is_some_and(own)
}

fn words(status: &ReloadStatus) -> String {
    let rejected = status.rejected.as_ref().map_or("", |_| "; the last save was rejected");
    format!("running generation {}{rejected}", status.generation)
}

async fn tell(say: impl FnOnce() -> io::Result<()> + Send + 'static) {
    match tokio::time::timeout(PATIENCE, tokio::task::spawn_blocking(say)).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the supervisor could not be told (NOTIFY_SOCKET)"),
        _ => tracing::warn!("the supervisor does not listen (NOTIFY_SOCKET)"),
    }
}
