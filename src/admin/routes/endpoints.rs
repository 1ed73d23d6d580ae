//! `POST /v1/endpoints/reset`: what is held against an endpoint is forgotten.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::error::ApiError;
use crate::admin::extract::Body;
use crate::admin::view::{Reset, WasReset};
use crate::snapshot::Snapshot;
use crate::telemetry::Event;
use crate::time::Moment;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::reset::Forgotten;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    let what = "Forgets what is held against an endpoint and its key.";
    table.post::<Reset, WasReset, _, _>("/v1/endpoints/reset", what, reset)
}

async fn reset(
    State(proxy): State<Arc<Proxy>>,
    Body(Reset { endpoint }): Body<Reset>,
) -> Result<Json<WasReset>, ApiError> {
    let snapshot = proxy.cell.load();
    let found = among(snapshot.known(), &endpoint)?;
    let forgotten = found.reset(Moment::now());
    proxy.control.renew(found.id.clone());
    let endpoint = found.id.to_string();
    let Forgotten { was_out, key_was_dead, .. } = forgotten;
    tracing::info!(endpoint, was_out, key_was_dead, "endpoint reset by hand");
    if was_out || key_was_dead {
        proxy.events.tell(Event::Admitted { endpoint: endpoint.clone() });
    }
    Ok(Json(WasReset::of(endpoint, forgotten)))
}

/// The endpoint called `PROFILE/ID`, or `ID` where only one is.
pub(super) fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Result<&'s Arc<Endpoint>, ApiError> {
    among(snapshot.endpoints(), name)
}

/// The same among these endpoints.
fn among<'s>(endpoints: impl Iterator<Item = &'s Arc<Endpoint>>, name: &str) -> Result<&'s Arc<Endpoint>, ApiError> {
    let endpoints: Vec<&Arc<Endpoint>> = endpoints.collect();
    let named =
        endpoints.iter().copied().filter(|endpoint| *endpoint.id.id == *name || endpoint.id.to_string() == name);
    let mut named: Vec<&Arc<Endpoint>> = named.collect();
    match named.len() {
        1 => Ok(named.remove(0)),
        0 => Err(ApiError::unknown(format!("the chain has no enabled endpoint `{name}`; {}", known(&endpoints)))),
        _ => {
            let candidates: Vec<String> = named.iter().map(|endpoint| endpoint.id.to_string()).collect();
            let message = format!("`{name}` could be one of {}", candidates.join(", "));
            Err(ApiError::new(StatusCode::CONFLICT, "ambiguous", message))
        }
    }
}

fn known(endpoints: &[&Arc<Endpoint>]) -> String {
    let names: Vec<String> = endpoints.iter().map(|endpoint| endpoint.id.to_string()).collect();
    if names.is_empty() { "there is none yet".to_owned() } else { format!("endpoints: {}", names.join(", ")) }
}
