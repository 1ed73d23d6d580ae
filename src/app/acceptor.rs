//! Takes connections in and deals each to the worker that has the fewest.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use super::worker::Crew;
use crate::limit::{Limit, Share};
use crate::net::listen::accept;
use crate::snapshot::SnapshotCell;

/// How long to wait when the system has no more files for connections.
const NO_FILES: Duration = Duration::from_millis(100);
/// How often a full house is looked at again, besides at every departure.
const FULL: Duration = Duration::from_secs(1);

/// One listener and those it serves.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) crew: Arc<Crew>,
    pub(super) cell: SnapshotCell,
}

impl Acceptor {
    /// Accepts until dropped. A full house stops accepting: the kernel keeps the next ones waiting.
    pub(super) async fn run(self) {
        let Self { listener, crew, cell } = self;
        let listener = match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "a listener cannot be used"),
        };
        loop {
            // Only to see that there is one: until somebody comes, no connection is there to be counted.
            drop(place(&crew.places, &cell).await);
            match accept(&listener).await {
                Ok((stream, _)) => crew.deal(stream, place(&crew.places, &cell).await),
                Err(error) => {
                    // A client that left already, or no files: neither ends the listener.
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(NO_FILES).await;
                }
            }
        }
    }
}

/// The next free place.
async fn place(places: &Limit, cell: &SnapshotCell) -> Share {
    loop {
        let most = cell.load().config.server.limits.connections.into();
        if let Some(place) = places.take(1, most, FULL).await {
            return place;
        }
        tracing::debug!("all connections are in use (server.limits.connections)");
    }
}
