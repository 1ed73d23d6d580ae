//! One request over one connection: its head in the form the protocol wants, and the checks on the head of the answer.

use std::rc::Rc;

use http::header::{CONTENT_LENGTH, HOST};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::answer::{Answer, Hold};
use super::error::SendError;
use super::http1::Http1;
use super::http2::Http2;
use super::{MAX_HEADERS, RequestBody};
use crate::net::Target;

/// A connection, or a place on one, taken for one request.
pub(super) struct Lease<B: RequestBody> {
    pub(super) connection: Leased<B>,
    hold: Hold,
}

pub(super) enum Leased<B: RequestBody> {
    Http1(Rc<Http1<B>>),
    Http2(Rc<Http2<B>>),
}

/// Why one connection gave no answer.
pub(super) struct Failure {
    /// What to tell when it is final.
    pub(super) error: SendError,
    /// Whether the same request may be sent again elsewhere: the upstream did not begin to answer it.
    pub(super) unanswered: bool,
}

impl<B: RequestBody> Lease<B> {
    pub(super) fn http1(connection: Rc<Http1<B>>) -> Self {
        let hold = Hold::new(Rc::clone(&connection) as _);
        Self { connection: Leased::Http1(connection), hold }
    }

    pub(super) fn http2(connection: Rc<Http2<B>>) -> Self {
        connection.take_place();
        let hold = Hold::new(Rc::clone(&connection) as _);
        Self { connection: Leased::Http2(connection), hold }
    }

    /// Whether a failure of this connection may say nothing about the endpoint.
    pub(super) fn may_be_stale(&self) -> bool {
        match &self.connection {
            Leased::Http1(connection) => connection.has_served(),
            Leased::Http2(_) => true,
        }
    }

    /// Connections born later than this one's replacement must be; 0 where only a new one will do.
    pub(super) fn birth(&self) -> u64 {
        match &self.connection {
            Leased::Http1(_) => 0,
            Leased::Http2(connection) => connection.birth(),
        }
    }

    /// Sends `request` and returns the answer. Dropping the future closes the connection (HTTP/2: resets the stream).
    pub(super) async fn exchange(
        self,
        target: &Target,
        request: impl FnOnce() -> Request<B>,
    ) -> Result<Response<Answer>, Failure> {
        let response = match &self.connection {
            Leased::Http1(connection) => connection.send(in_origin_form(request(), target)).await?,
            Leased::Http2(connection) => connection.send(in_absolute_form(request(), target)).await?,
        };
        check(&response).map_err(|error| Failure { error, unanswered: false })?;
        Ok(response.map(|body| Answer::new(body, self.hold)))
    }
}

fn in_origin_form<B: Body>(mut request: Request<B>, target: &Target) -> Request<B> {
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().entry(HOST).or_insert_with(|| target.host_header().clone());
    // hyper leaves the length of an empty body out, which some servers answer with 411 (RFC 9110, 8.6).
    if request.body().is_end_stream() && matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH) {
        request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    }
    if request.uri().authority().is_some() {
        *request.uri_mut() = Uri::from(path_and_query(request.uri()));
    }
    request
}

/// In HTTP/2 the host is part of the URI; a `Host` the caller has set takes its place there.
fn in_absolute_form<B>(mut request: Request<B>, target: &Target) -> Request<B> {
    *request.version_mut() = Version::HTTP_2;
    let set = request.headers_mut().remove(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(target.scheme().clone());
    parts.authority = Some(set.unwrap_or_else(|| target.authority().clone()));
    parts.path_and_query = Some(path_and_query(request.uri()));
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URI");
    request
}

fn path_and_query(uri: &Uri) -> PathAndQuery {
    uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// The size of the head is limited where it is read; here is what hyper lets pass.
fn check(response: &Response<Incoming>) -> Result<(), SendError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(SendError::bad_answer("the endpoint switches to another protocol, which nobody asked for"));
    }
    if response.headers().len() > MAX_HEADERS {
        return Err(SendError::bad_answer("the answer has more headers than allowed"));
    }
    Ok(())
}
