//! What a route says when it does not do what was asked.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;

use super::view::{Error, ErrorBody};
use crate::store::Failure;

/// An answer that is an error.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    /// The request makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", message)
    }

    /// State cannot be read.
    pub(super) fn unreadable(why: &Failure) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "state-unreadable", format!("the state cannot be read: {why}"))
    }

    /// There is no such thing.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = ErrorBody { code: self.code.to_owned(), message: self.message };
        (self.status, Json(Error { error: body })).into_response()
    }
}
