//! What the system asks of the process.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::{advance, supervisor};
use crate::proxy::serve::Phase;
use crate::snapshot::reload::Control;

/// The signals that are obeyed. From [`Signals::open`] on none takes its default action, also before it is followed.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to receive.
    pub(super) fn open() -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: signal(SignalKind::hangup())? })
    }

    /// Drains at the first SIGTERM or SIGINT, ends at the second, reloads at SIGHUP.
    pub(super) async fn follow(mut self, phase: watch::Sender<Phase>, control: Control) {
        loop {
            tokio::select! {
                () = received(&mut self.terminate) => stop(&phase),
                () = received(&mut self.interrupt) => stop(&phase),
                () = received(&mut self.hangup) => {
                    supervisor::reloading().await;
                    control.reload();
                }
            }
        }
    }
}

/// A file that has grown to its limit fails to be written; it does not end the process (SIGXFSZ).
pub(super) fn refuse_large_files() {
    // Once it is received its default action is off for good. Where it cannot be, there is no such limit.
    drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())));
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}

/// Drains at first, ends the second time.
pub(super) fn stop(phase: &watch::Sender<Phase>) {
    let next = if *phase.borrow() == Phase::Serving { Phase::Draining } else { Phase::Ending };
    if next == Phase::Draining {
        tracing::info!("stopping: requests in progress are finished first; a second signal ends them at once");
    }
    advance(phase, next);
}
