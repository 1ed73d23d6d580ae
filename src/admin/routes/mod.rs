//! The routes, each with its description. Each noun has a file and adds its own to the [`Table`].

#[cfg(test)]
mod description;
mod endpoints;
mod explain;
mod failover;
pub(super) mod health;
mod metrics;
mod queue;
mod reload;
pub(super) mod status;
mod stop;
mod table;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use http::StatusCode;

use self::table::{Describe, Table};
use super::Proxy;
use super::error::ApiError;

/// The longest body that is read; none is meant to be longer than a few lines.
const LONGEST_BODY: usize = 64 << 10;

/// Everything the API answers.
pub(super) fn table(proxy: Arc<Proxy>) -> Router {
    let table = every(Table::<()>::default()).finish();
    let unknown = || async { ApiError::unknown("there is no such route; `/v1/status` is one") };
    let method = || async {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the route takes another method")
    };
    table
        .fallback(unknown)
        .method_not_allowed_fallback(method)
        .layer(DefaultBodyLimit::max(LONGEST_BODY))
        .with_state(proxy)
}

/// The routes of every noun.
fn every<D: Describe>(table: Table<D>) -> Table<D> {
    let nouns = [
        status::routes,
        reload::routes,
        stop::routes,
        endpoints::routes,
        queue::routes,
        failover::routes,
        health::routes,
        metrics::routes,
        explain::routes,
    ];
    nouns.into_iter().fold(table, |table, routes| routes(table))
}
