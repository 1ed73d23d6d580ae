//! `/v1/queue`: what waits and what is kept, and what is done with it by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::error::ApiError;
use crate::admin::extract::{Body, Params};
use crate::admin::view::queue::{EntryCount, EntryList, EntryName, EntryRetry, EntryState, QueueLine, QueueStatus};
use crate::store::entries::{self, State as Standing};
use crate::store::{Failure, View};
use crate::time::Moment;

/// Entries that are listed at most.
const MOST: u32 = 10_000;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    table
        .get::<QueueStatus, _, _>("/v1/queue", "What waits and what is kept, in numbers.", status)
        .ask::<Which, EntryList, _, _>("/v1/queue/entries", "What is kept.", list)
        .post::<EntryName, EntryRetry, _, _>("/v1/queue/retry", "Tries a waiting or dead entry at once.", retry)
        .order::<EntryRetry, _, _>("/v1/queue/retry-all", "Tries every waiting and dead entry at once.", retry_all)
        .post::<EntryName, EntryCount, _, _>("/v1/queue/remove", "Forgets an entry.", remove)
        .post::<EntryState, EntryCount, _, _>("/v1/queue/clear", "Forgets entries, all or those of one state.", clear)
}

/// Which entries are listed.
#[derive(Debug, Deserialize, JsonSchema)]
struct Which {
    /// Only entries of this state: `waiting`, `running`, `done` or `dead`.
    state: Option<String>,
    /// At most so many.
    count: Option<u32>,
}

async fn status(State(proxy): State<Arc<Proxy>>) -> Result<Json<QueueStatus>, ApiError> {
    let kept = QueueStatus::of(&proxy.store.read(entries::statistics).await.map_err(failed)?);
    let held = proxy.queue.line.view();
    let line = QueueLine {
        length: held.length,
        bytes: held.bytes,
        longest_wait_ms: u64::try_from(held.longest.as_millis()).unwrap_or(u64::MAX),
    };
    let (refused, store) = (kept.refused + proxy.queue.refusals(), Some(super::status::state(&proxy.store)));
    Ok(Json(QueueStatus { line: Some(line), refused, store, ..kept }))
}

async fn list(State(proxy): State<Arc<Proxy>>, Params(which): Params<Which>) -> Result<Json<EntryList>, ApiError> {
    let (state, count) = (standing(which.state.as_deref())?, which.count.unwrap_or(MOST).min(MOST));
    let found = proxy.store.read(move |view: &View<'_>| entries::list(view, state, count)).await.map_err(failed)?;
    Ok(Json(EntryList { entries: found.into_iter().map(Into::into).collect() }))
}

async fn retry(
    State(proxy): State<Arc<Proxy>>,
    Body(EntryName { id }): Body<EntryName>,
) -> Result<Json<EntryRetry>, ApiError> {
    let model = proxy.queue.model(&id);
    let Json(EntryCount { count }) = one(proxy.queue.retry(&id).await, "no waiting or dead entry is called", &id)?;
    Ok(due(&proxy, count, model.as_deref()))
}

async fn retry_all(State(proxy): State<Arc<Proxy>>) -> Result<Json<EntryRetry>, ApiError> {
    let count = proxy.queue.retry_all().await.map_err(failed)?;
    Ok(due(&proxy, count, None))
}

fn due(proxy: &Proxy, count: usize, model: Option<&str>) -> Json<EntryRetry> {
    let hindrance = proxy.queue.hindrance(model, &proxy.cell.load(), &proxy.in_flight, Moment::now());
    let waits = hindrance.filter(|_| count > 0).map(|hindrance| hindrance.why.to_owned());
    Json(EntryRetry { count, waits })
}

async fn remove(
    State(proxy): State<Arc<Proxy>>,
    Body(EntryName { id }): Body<EntryName>,
) -> Result<Json<EntryCount>, ApiError> {
    one(proxy.queue.remove(&id).await, "no entry is called", &id)
}

async fn clear(
    State(proxy): State<Arc<Proxy>>,
    Body(EntryState { state }): Body<EntryState>,
) -> Result<Json<EntryCount>, ApiError> {
    let state = standing(state.as_deref())?;
    Ok(Json(EntryCount { count: proxy.queue.clear(state).await.map_err(failed)? }))
}

fn one(found: Result<bool, Failure>, missing: &str, id: &str) -> Result<Json<EntryCount>, ApiError> {
    if found.map_err(failed)? {
        return Ok(Json(EntryCount { count: 1 }));
    }
    Err(ApiError::unknown(format!("{missing} `{id}`; `qcc queue list` shows them")))
}

fn standing(word: Option<&str>) -> Result<Option<Standing>, ApiError> {
    word.map(str::parse).transpose().map_err(|why: String| ApiError::invalid(why))
}

#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn failed(failure: Failure) -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "state-failed", failure.to_string())
}
