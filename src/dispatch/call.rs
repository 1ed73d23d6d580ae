//! One request on its way up: what the client sent, and how it is put for each endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TRANSFER_ENCODING};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};
use tokio::time::Instant;

use super::facts::Facts;
use super::replay::{Replay, ReplayBody};
use crate::limit::Share;
use crate::upstream::endpoint::{Credential, Endpoint};

/// What is asked for, as far as it decides how it is treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `POST /v1/messages`: gate, failover, health.
    Messages,
    /// Any other path: forwarded to the active profile, counts nothing.
    Other,
}

impl Kind {
    /// By method and path; a trailing slash makes another path.
    pub fn of(method: &Method, path: &str) -> Self {
        if *method == Method::POST && path == "/v1/messages" { Self::Messages } else { Self::Other }
    }
}

/// One request, complete and ready to be tried any number of times.
#[derive(Debug)]
pub struct Call {
    /// How it is treated.
    pub kind: Kind,
    /// Its method.
    pub method: Method,
    /// Its path and query, untouched.
    pub target: PathAndQuery,
    /// The client's headers as they came, credentials included; which of them go up is decided for each endpoint.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Replay,
    /// What its body says.
    pub facts: Facts,
    /// The conversation it belongs to.
    pub session: Option<Arc<str>>,
    /// Until when an answer must have begun.
    pub deadline: Instant,
    /// The memory its body takes up.
    pub room: Option<Share>,
    /// It was stored: no client waits for it, and no credential of a client's is with it.
    pub stored: bool,
}

const SESSION: HeaderName = HeaderName::from_static("x-claude-code-session-id");

impl Call {
    /// The conversation a request names: by its header, else by its body.
    pub fn session(headers: &HeaderMap, facts: &Facts) -> Option<Arc<str>> {
        let header = headers.get(SESSION).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty());
        header.or(facts.session.as_deref()).filter(|session| session.len() <= 256).map(Arc::from)
    }

    /// The request as `endpoint` gets it: its path prefix, its credential in exactly one header, its name for the model;
    /// everything else as the client sent it.
    pub fn request_for(&self, endpoint: &Endpoint) -> Request<ReplayBody> {
        let body = self.body_for(endpoint);
        let headers = self.headers_for(endpoint, body.len());
        let mut request = Request::new(body.body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri_for(endpoint);
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = headers;
        request
    }

    /// The endpoint's name for the model asked for.
    pub fn model_for<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a str> {
        let model = self.facts.model.as_deref()?;
        Some(endpoint.models.get(model).unwrap_or(model))
    }

    fn body_for(&self, endpoint: &Endpoint) -> Replay {
        let mapped = self.facts.model.as_deref().and_then(|model| endpoint.models.get(model));
        match mapped {
            Some(name) => {
                self.body.splice(&self.facts.model_at, &Bytes::from(serde_json::Value::from(name).to_string()))
            }
            None => self.body.clone(),
        }
    }

    fn uri_for(&self, endpoint: &Endpoint) -> Uri {
        let target = if endpoint.prefix.is_empty() {
            Ok(self.target.clone())
        } else {
            PathAndQuery::from_maybe_shared(Bytes::from(format!("{}{}", endpoint.prefix, self.target)))
        };
        // A prefix that passed validation joined with a path that was parsed is a path.
        target.map(Uri::from).unwrap_or_default()
    }

    /// The client's headers that are forwarded to everyone: without its credential.
    pub fn upward(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        let is_held_back = self.held_back(false);
        self.headers.iter().filter(move |(name, _)| !is_held_back(name))
    }

    /// Which of the client's headers are not forwarded; its credential is only where that is the endpoint's `own`.
    fn held_back(&self, own: bool) -> impl Fn(&HeaderName) -> bool {
        let named = named_by_connection(&self.headers);
        move |name| stays_down(name, own) || named.contains(name)
    }

    /// With the length of the body it is for.
    fn headers_for(&self, endpoint: &Endpoint, length: u64) -> HeaderMap {
        let is_held_back = self.held_back(matches!(endpoint.credential, Credential::Passthrough));
        // A copy without some is much cheaper than a new map of the others; the last one moves to where one is left out.
        let mut headers = self.headers.clone();
        for name in self.headers.keys().filter(|name| is_held_back(name)) {
            // What has a value of ours instead keeps its place.
            match (name, &endpoint.credential, &endpoint.target) {
                (name, Credential::Header(of, _), _) if name == of => {}
                (&HOST, _, Some(target)) => drop(headers.insert(HOST, target.host_header().clone())),
                (&CONTENT_LENGTH, ..) => drop(headers.insert(CONTENT_LENGTH, HeaderValue::from(length))),
                _ => drop(headers.remove(name)),
            }
        }
        join_cookies(&mut headers);
        if let Credential::Header(name, value) = &endpoint.credential {
            headers.insert(name, value.clone());
        }
        for (name, value) in &endpoint.headers {
            headers.insert(name, value.clone());
        }
        headers
    }
}

/// HTTP/2 clients may send each cookie in a header of its own; HTTP/1.1 knows only one `Cookie` (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let [_, _, ..] = crumbs[..]
        && let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]))
    {
        headers.insert(COOKIE, whole);
    }
}

/// Whether a header of a request is not forwarded: hop by hop, meant for qcc, or the client's credential unless that is the
/// endpoint's `own`. `Host` and lengths are written anew by the sender.
fn stays_down(name: &HeaderName, own: bool) -> bool {
    match name.as_str() {
        "connection"
        | "host"
        | "content-length"
        | "transfer-encoding"
        | "te"
        | "trailer"
        | "upgrade"
        | "expect"
        | "keep-alive"
        | "proxy-connection"
        | "proxy-authorization"
        | "http2-settings"
        | "qcc-token" => true,
        "authorization" | "x-api-key" => !own,
        _ => false,
    }
}

/// Whether a header of an answer is not handed on: hop by hop, or a permission for pages, which may not read an answer.
fn stays_up(name: &HeaderName) -> bool {
    match name.as_str() {
        "proxy-authenticate"
        | "proxy-authentication-info"
        | "connection"
        | "transfer-encoding"
        | "trailer"
        | "upgrade"
        | "keep-alive"
        | "proxy-connection" => true,
        name => name.starts_with("access-control-"),
    }
}

/// The headers that `Connection` makes hop by hop.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// The headers of an answer that go down. Order and repetitions stay.
pub fn downward(mut headers: HeaderMap) -> HeaderMap {
    settle_length(&mut headers);
    if !headers.keys().any(stays_up) {
        return headers;
    }
    let named = named_by_connection(&headers);
    let mut kept = HeaderMap::with_capacity(headers.len() + 4);
    let mut last: Option<HeaderName> = None;
    for (name, value) in headers {
        let name = match name {
            Some(name) => last.insert(name),
            None => match &mut last {
                Some(name) => name,
                None => continue,
            },
        };
        if !stays_up(name) && !named.contains(name) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

/// Leaves an answer one length, or none: a body that ends by its chunks has none, whatever its head says besides (RFC 9112,
/// 6.3), nor has one whose length does not stand alone.
fn settle_length(headers: &mut HeaderMap) {
    let Some(length) = headers.get(CONTENT_LENGTH) else { return };
    if headers.contains_key(TRANSFER_ENCODING) || !length.as_bytes().iter().all(u8::is_ascii_digit) {
        headers.remove(CONTENT_LENGTH);
    } else if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        headers.insert(CONTENT_LENGTH, length.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn an_answer_goes_down_with_one_length_or_none() {
        for (sent, goes_down) in [
            (&[("content-length", "174")][..], Some("174")),
            (&[("content-length", "174"), ("content-length", "174")], Some("174")),
            (&[("content-length", "174, 174")], None),
            (&[("content-length", "5"), ("transfer-encoding", "chunked")], None),
            (&[("transfer-encoding", "chunked")], None),
        ] {
            let kept = downward(headers(sent));
            let lengths: Vec<&HeaderValue> = kept.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, goes_down.into_iter().collect::<Vec<_>>(), "{sent:?}");
        }
    }

    #[test]
    fn what_goes_up_is_the_clients_and_what_is_ours_takes_its_place() {
        let sent = headers(&[
            ("accept", "a"),
            ("authorization", "Bearer theirs"),
            ("x-one", "1"),
            ("content-length", "99"),
            ("x-one", "2"),
            ("x-last", "z"),
            ("x-hop", "theirs"),
            ("connection", "keep-alive, x-hop"),
            ("x-api-key", "theirs"),
        ]);
        let call = Call { headers: sent, ..call() };
        let up = call.headers_for(&crate::upstream::fixture::endpoint("a"), 3);
        let pairs: Vec<(&str, &[u8])> = up.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 6] = [
            ("accept", b"a"),
            ("authorization", b"canary"),
            ("x-one", b"1"),
            ("x-one", b"2"),
            ("content-length", b"3"),
            ("x-last", b"z"),
        ];
        assert_eq!(pairs, expected);
    }

    /// A request without anything.
    fn call() -> Call {
        Call {
            kind: Kind::Messages,
            method: Method::POST,
            target: PathAndQuery::from_static("/v1/messages"),
            headers: HeaderMap::new(),
            body: Replay::default(),
            facts: Facts::default(),
            session: None,
            deadline: Instant::now(),
            room: None,
            stored: false,
        }
    }

    #[test]
    fn cookies_go_up_in_one_header_and_other_repeated_headers_stay_apart() {
        let mut kept =
            headers(&[("cookie", "a=1"), ("anthropic-beta", "x"), ("cookie", "b=2"), ("anthropic-beta", "y")]);
        join_cookies(&mut kept);
        assert_eq!(kept.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        assert_eq!(kept.get_all("anthropic-beta").iter().collect::<Vec<_>>(), ["x", "y"]);
    }
}
