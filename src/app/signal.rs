//! What the system asks of the process.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::advance;
use crate::proxy::serve::Phase;
use crate::snapshot::reload::Control;

/// Drains at the first SIGTERM or SIGINT, ends at the second, reloads at SIGHUP.
pub(super) async fn follow(phase: watch::Sender<Phase>, control: Control) {
    let opened = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()));
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) = opened else {
        return tracing::error!("signals cannot be received");
    };
    loop {
        tokio::select! {
            () = received(&mut terminate) => stop(&phase),
            () = received(&mut interrupt) => stop(&phase),
            () = received(&mut hangup) => control.reload(),
        }
    }
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

fn stop(phase: &watch::Sender<Phase>) {
    let next = if *phase.borrow() == Phase::Serving { Phase::Draining } else { Phase::Ending };
    if next == Phase::Draining {
        tracing::info!("stopping: requests in progress are finished; once more ends them");
    }
    advance(phase, next);
}
