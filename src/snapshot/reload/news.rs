//! What one snapshot after another means to those who watch. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use crate::snapshot::Snapshot;
use crate::telemetry::event::Event;
use crate::upstream::endpoint::{Credential, EndpointId};

/// Endpoints that went out or came in because of their key, and the active profile if it is another one because
/// of the file.
pub(super) fn news(before: Option<&Snapshot>, after: &Snapshot) -> Vec<Event> {
    let was = before.map(missing).unwrap_or_default();
    let is = missing(after);
    let out = is.iter().filter(|(id, why)| was.get(*id) != Some(why)).map(|(id, why)| ejected(id, why));
    let still = after.endpoints().filter(|endpoint| !is.contains_key(&endpoint.id));
    let back = still.filter(|endpoint| was.contains_key(&endpoint.id));
    let back = back.map(|endpoint| Event::Admitted { endpoint: endpoint.id.to_string() });
    out.chain(back).chain(before.and_then(|before| switched(before, after))).collect()
}

/// Endpoints that cannot be used, and why.
fn missing(snapshot: &Snapshot) -> HashMap<&EndpointId, &str> {
    let missing = snapshot.endpoints().filter_map(|endpoint| match &endpoint.credential {
        Credential::Missing(why) => Some((&endpoint.id, why.as_str())),
        _ => None,
    });
    missing.collect()
}

fn ejected(id: &EndpointId, why: &str) -> Event {
    Event::Ejected { endpoint: id.to_string(), reason: why.to_owned(), duration: None }
}

fn switched(before: &Snapshot, after: &Snapshot) -> Option<Event> {
    let (from, to) = (&before.active_profile()?.name, &after.active_profile()?.name);
    let stays = after.chain.iter().any(|profile| profile.name == *from);
    let reason = if stays { format!("{to} leads the chain now") } else { format!("{from} left the chain") };
    (from != to).then(|| Event::Switched { from: Arc::clone(from), to: Arc::clone(to), cause: "reload", reason })
}
