//! What the tests stand on: a scripted upstream, the real binary, and clients that show exact bytes.
//!
//! Nothing here sleeps to let something happen: every wait is for an event, with a deadline.

pub(crate) mod api;
pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod daemon;
pub(crate) mod desk;
pub(crate) mod gate;
pub(crate) mod http1;
pub(crate) mod http2;
pub(crate) mod kept;
pub(crate) mod messages;
pub(crate) mod proxy;
pub(crate) mod raw;
pub(crate) mod reply;
pub(crate) mod save;
pub(crate) mod tls;
pub(crate) mod tracer;
pub(crate) mod upstream;

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;

pub(crate) use client::{Answer, Client, Request};
pub(crate) use config::{endpoint, file, profile};
pub(crate) use daemon::Daemon;
pub(crate) use desk::Desk;
pub(crate) use gate::Gate;
pub(crate) use proxy::{Proxy, Setup};
pub(crate) use raw::RawClient;
pub(crate) use reply::{End, Framing, Reply};
pub(crate) use save::Style;
pub(crate) use tls::Ca;
pub(crate) use upstream::{Recorded, Refused, Upstream};

/// How long a test waits for something that must happen. Long, because the machine may be busy; nothing waits it out on success.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until `look` finds something, looking again after every change told by `changes`.
pub(crate) async fn until<T>(what: &str, changes: &watch::Sender<()>, mut look: impl FnMut() -> Option<T>) -> T {
    let mut seen = changes.subscribe();
    let wait = async {
        loop {
            seen.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            seen.changed().await.expect("the caller holds the sender");
        }
    };
    in_time(what, wait).await
}

/// The result of `future`, which must come within [`PATIENCE`].
pub(crate) async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_elapsed| panic!("did not happen within {PATIENCE:?}: {what}"))
}

/// SHA-256 in hex, so that a difference in 20 MiB does not print 20 MiB.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}
