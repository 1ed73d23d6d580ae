//! What happened is kept.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::store::Store;
use crate::store::switches::{self, Switch};
use crate::telemetry::Event;
use crate::time::unix_ms;

/// Keeps every switch that is heard.
pub(super) async fn keep(store: Store, mut heard: Receiver<Arc<Event>>) {
    loop {
        match heard.recv().await {
            Ok(event) => note(&store, &event),
            Err(RecvError::Lagged(missed)) => tracing::warn!(missed, "some events are not in the history"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn note(store: &Store, event: &Event) {
    let Event::Switched { from, to, cause, reason } = event else { return };
    let (from, to, cause, reason) = (from.to_string(), to.to_string(), (*cause).to_owned(), reason.clone());
    let switch = Switch { at: unix_ms(SystemTime::now()), from, to, cause, reason };
    store.note(move |tx| switches::append(tx, &switch));
}
