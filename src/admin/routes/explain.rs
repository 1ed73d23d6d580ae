//! `GET /v1/explain`: who would serve a request now, and why not the others.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::extract::Params;
use crate::admin::show;
use crate::admin::view::explain::{ExplainQuery, Explanation};
use crate::time::Clocks;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    let what = "Who would serve such a request now, in which order, and why not the others.";
    table.ask::<ExplainQuery, Explanation, _, _>("/v1/explain", what, explain)
}

async fn explain(State(proxy): State<Arc<Proxy>>, Params(query): Params<ExplainQuery>) -> Json<Explanation> {
    let snapshot = proxy.cell.load();
    Json(show::explanation(&snapshot, query, Some(&proxy.shared.affinity), Clocks::now()))
}
