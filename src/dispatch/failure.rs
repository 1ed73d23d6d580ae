//! What the client is told when nobody could answer (`PROTOCOL` 4.6). Pure.

use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::answer::Refusal;
use super::attempt::{Attempted, Held};
use crate::upstream::classify::says_overloaded;
use crate::upstream::outcome::Outcome;

/// Longest advice the client still follows by waiting; beyond 60 s it gives up at once.
const LONGEST_ADVICE: u64 = 55;
/// Longest `retry-after` that is handed on.
const LONGEST_HANDED_ON: u64 = 60;
/// Advice when nobody knows when an endpoint returns.
const USUAL_ADVICE: u64 = 5;

/// What goes down.
#[derive(Debug)]
pub enum Farewell {
    /// The last answer of an endpoint, as it came.
    HandOn(Box<Held>),
    /// Words of our own.
    Refuse(Refusal),
}

/// Decides between the last answer and our own. `soonest` is when an endpoint is expected back; `dead` names endpoints
/// without a working key if no other is left.
pub fn farewell(
    last: Option<Attempted>,
    soonest: Option<Duration>,
    dead: Option<String>,
    configured: bool,
) -> Farewell {
    if !configured {
        let message = "no endpoint is configured: add one to a profile with a tier in qcc.yaml";
        return Farewell::Refuse(Refusal::unavailable("no-endpoint", message, USUAL_ADVICE));
    }
    if let Some(names) = dead {
        let message = format!("no endpoint has a working key: {names}");
        let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", "no-working-key", message);
        return Farewell::Refuse(Refusal { should_retry: Some(false), ..refusal });
    }
    match last {
        Some(Attempted { outcome, answer: Some(mut held), .. }) if is_handed_on(&outcome, &held) => {
            clamp_retry_after(&mut held.head.headers);
            Farewell::HandOn(held)
        }
        last => Farewell::Refuse(unavailable(last.as_ref(), soonest)),
    }
}

/// Our words for a request that is kept and tried again under the name `id`.
pub fn queued(last: Option<&Attempted>, soonest: Option<Duration>, id: &str) -> Refusal {
    let refusal = unavailable(last, soonest);
    Refusal { message: format!("{}; the request is queued as {id}", refusal.message), ..refusal }
}

fn unavailable(last: Option<&Attempted>, soonest: Option<Duration>) -> Refusal {
    let whole = |soonest: Duration| soonest.as_secs() + u64::from(soonest.subsec_nanos() > 0);
    let advice = soonest.map_or(USUAL_ADVICE, whole).clamp(1, LONGEST_ADVICE);
    let (reason, what) = match last {
        None => ("no-endpoint-admits", "no endpoint takes requests now".to_owned()),
        Some(last) => {
            ("all-endpoints-failed", format!("no endpoint could answer; the last one failed: {}", last.detail))
        }
    };
    Refusal::unavailable(reason, format!("{what}; try again in {advice} s"), advice)
}

/// Only failures the client retries well by itself are handed on, an endpoint's word that it has no such model, and a
/// refused signature that nobody else could judge.
fn is_handed_on(outcome: &Outcome, held: &Held) -> bool {
    let status = held.head.status.as_u16();
    match outcome {
        Outcome::Model | Outcome::Conflict | Outcome::Client => true,
        _ => matches!(status, 429 | 500 | 502 | 503 | 504) && !says_overloaded(&held.gate.prefix),
    }
}

fn clamp_retry_after(headers: &mut HeaderMap) {
    let too_long = |told: &HeaderValue| {
        let seconds = told.to_str().ok().and_then(|told| told.trim().parse::<f64>().ok());
        seconds.is_some_and(|seconds| seconds > LONGEST_HANDED_ON as f64)
    };
    if headers.get_all(RETRY_AFTER).iter().any(too_long) {
        headers.insert(RETRY_AFTER, HeaderValue::from(LONGEST_HANDED_ON));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(farewell: Farewell) -> Refusal {
        match farewell {
            Farewell::Refuse(refusal) => refusal,
            Farewell::HandOn(held) => panic!("handed on: {held:?}"),
        }
    }

    fn failed() -> Attempted {
        Attempted { outcome: Outcome::Local, detail: "connection refused".to_owned(), answer: None }
    }

    #[test]
    fn the_advice_is_when_the_soonest_endpoint_returns_within_what_the_client_follows() {
        for (soonest, advice) in [(None, 5), (Some(0), 1), (Some(7_200), 8), (Some(600_000), 55)] {
            let soonest = soonest.map(Duration::from_millis);
            let refusal = refusal(farewell(Some(failed()), soonest, None, true));
            assert_eq!((refusal.retry_after, refusal.should_retry), (Some(advice), Some(true)), "{soonest:?}");
            assert_eq!(
                (refusal.status.as_u16(), refusal.kind, refusal.reason),
                (503, "api_error", "all-endpoints-failed")
            );
        }
    }

    #[test]
    fn dead_keys_are_named_and_not_retried() {
        let refusal = refusal(farewell(Some(failed()), None, Some("production/work".to_owned()), true));
        assert_eq!(
            (refusal.status.as_u16(), refusal.kind, refusal.should_retry),
            (401, "authentication_error", Some(false))
        );
        assert!(refusal.message.contains("production/work"));
    }

    #[test]
    fn nothing_configured_and_nothing_admitting_are_told_apart() {
        assert_eq!(refusal(farewell(None, None, None, false)).reason, "no-endpoint");
        assert_eq!(refusal(farewell(None, None, None, true)).reason, "no-endpoint-admits");
    }

    #[test]
    fn a_retry_after_beyond_the_clients_patience_is_clamped() {
        for (told, handed_on) in [("7", "7"), ("60", "60"), ("3600", "60"), ("soon", "soon")] {
            let mut headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(told))]);
            clamp_retry_after(&mut headers);
            assert_eq!(headers[RETRY_AFTER], handed_on);
        }
        let mut twice = HeaderMap::from_iter(["3", "90"].map(|told| (RETRY_AFTER, HeaderValue::from_static(told))));
        clamp_retry_after(&mut twice);
        assert_eq!(twice.get_all(RETRY_AFTER).iter().collect::<Vec<_>>(), ["60"]);
    }
}
