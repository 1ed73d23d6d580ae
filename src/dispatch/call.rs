//! One request on its way up: what the client sent, and how it is put for each endpoint.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Request, Uri, Version};
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
    /// The client's headers, credentials included.
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

/// Hop-by-hop headers and the client's credential for qcc: never forwarded.
const DROPPED: [HeaderName; 12] = [
    CONNECTION,
    HOST,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    TE,
    TRAILER,
    UPGRADE,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("proxy-authorization"),
    HeaderName::from_static("qcc-token"),
];

const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
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
        let mut request = Request::new(self.body_for(endpoint).body());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri_for(endpoint);
        *request.version_mut() = Version::HTTP_11;
        *request.headers_mut() = self.headers_for(endpoint);
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

    fn headers_for(&self, endpoint: &Endpoint) -> HeaderMap {
        let own = matches!(endpoint.credential, Credential::Passthrough);
        let mut headers = HeaderMap::with_capacity(self.headers.len() + endpoint.headers.len() + 1);
        for (name, value) in &self.headers {
            let credential = *name == AUTHORIZATION || *name == X_API_KEY;
            if own || !credential {
                headers.append(name, value.clone());
            }
        }
        if let Credential::Header(name, value) = &endpoint.credential {
            headers.insert(name, value.clone());
        }
        for (name, value) in &endpoint.headers {
            headers.insert(name, value.clone());
        }
        headers
    }
}

/// Takes hop-by-hop headers out, also those that `Connection` names, and those meant for qcc. Order and repetitions of
/// the others stay. Serves both directions; `HOST` and lengths are written anew by the sender.
pub fn end_to_end(headers: HeaderMap, dropped: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
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
        if !dropped(name) && !named.contains(name) {
            kept.append(name.clone(), value);
        }
    }
    kept
}

/// The headers of a request that go up.
pub fn upward(headers: HeaderMap) -> HeaderMap {
    end_to_end(headers, |name| DROPPED.contains(name) || *name == HTTP2_SETTINGS)
}

/// The headers of an answer that go down.
pub fn downward(headers: HeaderMap) -> HeaderMap {
    const HOP_BY_HOP: [HeaderName; 8] = [
        HeaderName::from_static("proxy-authenticate"),
        HeaderName::from_static("proxy-authentication-info"),
        CONNECTION,
        TRANSFER_ENCODING,
        TRAILER,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ];
    // No page may read an answer: an upstream's permission is not ours.
    end_to_end(headers, |name| HOP_BY_HOP.contains(name) || name.as_str().starts_with("access-control-"))
}
