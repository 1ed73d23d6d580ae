//! Why a request got no answer.

use std::error::Error;
use std::fmt;
use std::io;

use super::wire::TooMuchBeforeHead;
use crate::net::connect::{ConnectError, ConnectErrorKind, causes, io_message};
use crate::net::tls;

/// Where a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The endpoint's name does not resolve.
    Dns,
    /// Nobody answers at its address.
    Connect,
    /// TLS failed, while connecting or after.
    Tls,
    /// The proxy on the way cannot be reached, or refuses.
    Proxy,
    /// Connecting took too long. Waiting for an answer has no limit here.
    Timeout,
    /// The endpoint's address is this process itself.
    OwnAddress,
    /// The connection ended before an answer began.
    Reset,
    /// What came is not an answer.
    BadAnswer,
}

/// Why a request got no answer: one line, without secrets and without the request's URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError {
    /// Where it failed.
    pub kind: SendErrorKind,
    /// What happened.
    pub message: String,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for SendError {}

impl From<ConnectError> for SendError {
    fn from(error: ConnectError) -> Self {
        let kind = match error.kind {
            ConnectErrorKind::Dns => SendErrorKind::Dns,
            ConnectErrorKind::Connect => SendErrorKind::Connect,
            ConnectErrorKind::Tls => SendErrorKind::Tls,
            ConnectErrorKind::Proxy => SendErrorKind::Proxy,
            ConnectErrorKind::Timeout => SendErrorKind::Timeout,
            ConnectErrorKind::OwnAddress => SendErrorKind::OwnAddress,
        };
        Self { kind, message: error.message }
    }
}

impl From<&hyper::Error> for SendError {
    fn from(error: &hyper::Error) -> Self {
        let find = |found: fn(&(dyn Error + 'static)) -> Option<String>| causes(error).find_map(found);
        if let Some(cause) = find(tls::reason) {
            return Self { kind: SendErrorKind::Tls, message: format!("TLS: {cause}") };
        }
        if error.is_parse_too_large() {
            return Self::bad_answer("the head of the answer is larger than allowed");
        }
        if let Some(cause) = find(|cause| cause.downcast_ref::<TooMuchBeforeHead>().map(ToString::to_string)) {
            return Self::bad_answer(&cause);
        }
        if error.is_parse() {
            return Self::bad_answer("what came is not HTTP");
        }
        let io = find(|cause| cause.downcast_ref::<io::Error>().map(io_message));
        let h2 = find(|cause| cause.downcast_ref::<h2::Error>().map(ToString::to_string));
        let why = io.or(h2).unwrap_or_else(|| "closed".to_owned());
        Self { kind: SendErrorKind::Reset, message: format!("connection lost before an answer: {why}") }
    }
}

impl SendError {
    pub(super) fn bad_answer(why: &str) -> Self {
        Self { kind: SendErrorKind::BadAnswer, message: why.to_owned() }
    }
}
