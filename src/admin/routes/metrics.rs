//! `GET /metrics`, and `/v1/metrics`: the same for Prometheus and for commands.

use std::sync::Arc;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::metrics::{MEDIA_TYPE, Scrape, render};
use crate::store::entries;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    let what = "Counters and gauges in the text format of OpenMetrics.";
    table.text("/metrics", what, MEDIA_TYPE, metrics).text("/v1/metrics", what, MEDIA_TYPE, metrics)
}

async fn metrics(State(proxy): State<Arc<Proxy>>) -> impl IntoResponse {
    let scrape = Scrape {
        status: super::status::view(&proxy),
        happened: proxy.happened.read(),
        sums: proxy.meters.read(),
        line: proxy.queue.line.view(),
        kept: proxy.store.read(entries::statistics).await.ok(),
        refusals: proxy.queue.refusals(),
    };
    ([(CONTENT_TYPE, MEDIA_TYPE)], render(scrape))
}
