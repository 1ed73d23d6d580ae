//! Answers the proxy makes itself: the one place where errors become HTTP.
//!
//! All have the error shape of the Anthropic API and a `qcc-error` header that says the proxy made them, and why.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};

use super::relay::Body;

/// Says that the proxy made the answer, and why.
pub const QCC_ERROR: HeaderName = HeaderName::from_static("qcc-error");
/// Tells the Anthropic SDKs and Claude Code whether to try again, whatever the status.
pub const X_SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// An answer of the proxy's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// `error.type` of the API.
    pub kind: &'static str,
    /// What happened and what to do, for people.
    pub message: String,
    /// Value of `qcc-error`: short, stable, in kebab case.
    pub reason: &'static str,
    /// Seconds after which the client should try again.
    pub retry_after: Option<u64>,
    /// Whether the client should try again; `None` leaves it to the status.
    pub should_retry: Option<bool>,
    /// Whether the connection is closed after it.
    pub close: bool,
}

impl Refusal {
    /// With the essentials; no advice about trying again.
    pub fn new(status: StatusCode, kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), reason, retry_after: None, should_retry: None, close: false }
    }

    /// The client did something wrong.
    pub fn invalid(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request_error", reason, message)
    }

    /// The caller may not.
    pub fn forbidden(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_error", reason, message)
    }

    /// The proxy cannot now; the client should come back after `seconds`.
    pub fn unavailable(reason: &'static str, message: impl Into<String>, seconds: u64) -> Self {
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, "api_error", reason, message);
        Self { retry_after: Some(seconds), should_retry: Some(true), ..refusal }
    }

    /// The same, and the connection ends.
    #[must_use]
    pub fn and_close(self) -> Self {
        Self { close: true, ..self }
    }

    /// As HTTP.
    pub fn response(&self) -> Response<Body> {
        let body = serde_json::json!({ "type": "error", "error": { "type": self.kind, "message": self.message } });
        let mut response = json(self.status, body.to_string());
        let headers = response.headers_mut();
        headers.insert(QCC_ERROR, HeaderValue::from_static(self.reason));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(retry) = self.should_retry {
            headers.insert(X_SHOULD_RETRY, HeaderValue::from_static(if retry { "true" } else { "false" }));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The SSE event that ends a stream which cannot go on.
pub fn error_event(message: &str) -> Bytes {
    let data = serde_json::json!({ "type": "error", "error": { "type": "api_error", "message": message } });
    format!("event: error\ndata: {data}\n\n").into()
}
