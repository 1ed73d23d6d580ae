//! `POST /v1/stop`: the end, in order.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use http::StatusCode;
use serde_json::{Value, json};

use crate::admin::Proxy;

pub(super) fn routes() -> Router<Arc<Proxy>> {
    Router::new().route("/v1/stop", post(stop))
}

/// The first time requests in progress are finished, the second time they are ended, as with signals.
async fn stop(State(proxy): State<Arc<Proxy>>) -> (StatusCode, Json<Value>) {
    (proxy.stop)();
    (StatusCode::ACCEPTED, Json(json!({})))
}
