//! `POST /v1/stop`: the end, in order.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::view::Stopping;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    table.order::<Stopping, _, _>("/v1/stop", "Finishes what is in progress and stops; a second time ends it.", stop)
}

/// The first time requests in progress are finished, the second time they are ended, as with signals.
async fn stop(State(proxy): State<Arc<Proxy>>) -> (StatusCode, Json<Stopping>) {
    (proxy.stop)();
    (StatusCode::ACCEPTED, Json(Stopping { in_flight: proxy.in_flight.used() }))
}
