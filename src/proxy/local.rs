//! Requests answered here, without asking anybody (`PROTOCOL` 4.13).

use http::{Method, Response, StatusCode};

use crate::dispatch::answer::json;
use crate::dispatch::relay::Body;

/// The answer to a request that needs no endpoint: connection probes, and the event log of Claude Code, which is for
/// Anthropic alone.
pub fn answer(method: &Method, path: &str) -> Option<Response<Body>> {
    match (method, path) {
        (&Method::HEAD, "/" | "/api/hello") | (&Method::GET, "/api/hello") => Some(Response::new(Body::Full(None))),
        (&Method::POST, "/api/event_logging/batch") => Some(json(StatusCode::OK, r#"{"success":true}"#)),
        _ => None,
    }
}
