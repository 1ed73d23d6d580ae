//! `POST /v1/reload` and `GET /v1/verdict`: files, and what became of them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use tokio::time::timeout;

use super::table::{Describe, Table};
use crate::admin::Proxy;
use crate::admin::error::ApiError;
use crate::admin::extract::Params;
use crate::admin::view::{Reload, Time, Verdict, VerdictQuery};
use crate::snapshot::reload::{self, ReloadStatus};

/// The longest wait for a verdict, in seconds.
const LONGEST: f64 = 60.0;

pub(super) fn routes<D: Describe>(table: Table<D>) -> Table<D> {
    let table =
        table.order::<Reload, _, _>("/v1/reload", "Reads the file and the secrets again; says what runs now.", ask);
    table.ask::<VerdictQuery, Verdict, _, _>("/v1/verdict", "What became of a file.", verdict)
}

/// Has the file read again; what runs until then is the answer.
async fn ask(State(proxy): State<Arc<Proxy>>) -> (StatusCode, Json<Reload>) {
    proxy.control.reload();
    (StatusCode::ACCEPTED, Json(view(&proxy)))
}

/// The running configuration.
pub(super) fn view(proxy: &Proxy) -> Reload {
    let status = proxy.control.status();
    let status = status.borrow();
    Reload {
        generation: status.generation,
        epoch: proxy.cell.load().epoch,
        sha256: status.sha256.clone(),
        accepted: Time(status.accepted),
        source: status.mode.as_str().to_owned(),
        restart_required: status.restart_required.iter().map(|key| (*key).to_owned()).collect(),
        rejected: status.rejected.as_ref().map(Into::into),
        last_good: status.last_good,
    }
}

async fn verdict(
    State(proxy): State<Arc<Proxy>>,
    Params(VerdictQuery { sha256, wait, since }): Params<VerdictQuery>,
) -> Result<Json<Verdict>, ApiError> {
    let digits = sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !digits || !(0.0..=LONGEST).contains(&wait) {
        return Err(ApiError::invalid("`sha256` is 64 hexadecimal digits, `wait` is 0 to 60 seconds"));
    }
    let (sha256, since) = (sha256.to_ascii_lowercase(), SystemTime::UNIX_EPOCH + Duration::from_millis(since));
    let mut status = proxy.control.status();
    let known = status.wait_for(|status| status.verdict(&sha256, since).is_some());
    let known = timeout(Duration::from_secs_f64(wait), known).await;
    Ok(Json(known.ok().and_then(Result::ok).map_or(Verdict::Pending, |status| told(&status, &sha256, since))))
}

fn told(status: &ReloadStatus, sha256: &str, since: SystemTime) -> Verdict {
    match status.verdict(sha256, since) {
        Some(reload::Verdict::Accepted(generation)) => {
            let restart_required = status.restart_required.iter().map(|key| (*key).to_owned()).collect();
            Verdict::Accepted { generation, restart_required }
        }
        Some(reload::Verdict::Rejected(rejection)) => Verdict::Rejected { rejection: (&rejection).into() },
        None => Verdict::Pending,
    }
}
