//! Reads an upstream's answer into an [`Outcome`]: the table of outcomes as one function.
//!
//! Statuses alone do not tell: providers report an empty account as 400, a firewall's page as 403, an overload inside a
//! 200. So the status decides the row, and the body (see [`super::fault`]) may move it.
//!
//! Invariants:
//! - a fault of the client is never held against the endpoint, a fault of the endpoint never handed to the client as
//!   the last word while others can answer;
//! - classification never fails: what is not understood is a failure of the endpoint (2xx, 3xx, 5xx) or of the client
//!   (other 4xx).

use std::time::SystemTime;

use http::{HeaderMap, StatusCode, header};

use super::fault::{Fault, is_page};
use super::outcome::{Outcome, RateLimit};
use super::rate;

/// The part of an upstream's answer that is looked at before it goes downstream.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The beginning of its body, decoded, up to 64 KiB. May be empty for a stream.
    pub body: &'a [u8],
    /// The model asked of the upstream, under the upstream's name for it.
    pub model: Option<&'a str>,
    /// The wall clock, for waits announced as a point of time.
    pub now_epoch: SystemTime,
}

/// The outcome of an attempt answered by `head`. A stream that begins well is a success so far.
pub fn classify(head: &Answer<'_>) -> Outcome {
    match head.status.as_u16() {
        200..=203 => within_success(head),
        429 => Outcome::Rate(rate::announced(head.headers, head.now_epoch)),
        408 | 500.. => server(head),
        409 => Outcome::Conflict,
        413 => Outcome::Client,
        400..=499 if page(head) => server(head),
        400..=499 => refused(head, &Fault::read(head.body)),
        _ => Outcome::FAILED,
    }
}

/// The outcome that the JSON of an `event: error` stands for.
pub fn classify_event_error(data: &[u8]) -> Outcome {
    by_kind(&Fault::read(data), None).unwrap_or(Outcome::FAILED)
}

/// Whether a body says `overloaded_error`: such an answer makes the client give up early, whatever its status.
pub fn says_overloaded(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"overloaded_error").is_some()
}

/// A 2xx that may not be an answer: a page, an error object, garbage.
fn within_success(head: &Answer<'_>) -> Outcome {
    if content_type(head.headers).starts_with("text/event-stream") {
        return Outcome::Success;
    }
    if page(head) || head.body.trim_ascii_start().first() != Some(&b'{') {
        return server(head);
    }
    let fault = Fault::read(head.body);
    if !fault.is_error {
        return Outcome::Success;
    }
    by_kind(&fault, head.model).unwrap_or_else(|| server(head))
}

/// A 4xx with a body that is not a page.
fn refused(head: &Answer<'_>, fault: &Fault) -> Outcome {
    match head.status.as_u16() {
        403 if fault.names_model(head.model) => Outcome::Model,
        401..=403 => Outcome::Auth,
        404 if fault.is_missing_model(head.model) => Outcome::Model,
        400 if fault.is_out_of_credit() => Outcome::Auth,
        400 | 422 => misplaced(fault, head).unwrap_or(Outcome::Client),
        _ => Outcome::Client,
    }
}

/// Errors of the endpoint that some providers report as a bad request.
fn misplaced(fault: &Fault, head: &Answer<'_>) -> Option<Outcome> {
    match fault.kind()? {
        "overloaded_error" => Some(server(head)),
        "rate_limit_error" => Some(Outcome::Rate(rate::announced(head.headers, head.now_epoch))),
        "authentication_error" | "billing_error" => Some(Outcome::Auth),
        _ => None,
    }
}

/// The outcome an error inside a 200 stands for, by the type (or the provider's code) it carries.
fn by_kind(fault: &Fault, model: Option<&str>) -> Option<Outcome> {
    if fault.is_out_of_credit() {
        return Some(Outcome::Auth);
    }
    match fault.kind()? {
        "rate_limit_error" => Some(Outcome::Rate(RateLimit::default())),
        "authentication_error" | "permission_error" | "billing_error" => Some(Outcome::Auth),
        "not_found_error" if fault.is_missing_model(model) => Some(Outcome::Model),
        "not_found_error" | "invalid_request_error" | "request_too_large" => Some(Outcome::Client),
        _ => None,
    }
}

fn server(head: &Answer<'_>) -> Outcome {
    Outcome::Server { retry_after: rate::retry_after(head.headers, head.now_epoch) }
}

fn page(head: &Answer<'_>) -> bool {
    content_type(head.headers).starts_with("text/html") || is_page(head.body)
}

fn content_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    value.unwrap_or_default().trim().to_ascii_lowercase()
}
