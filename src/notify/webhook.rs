//! POSTs a message to a URL, each on a connection of its own: messages are few, and far between.
//!
//! Redirects are not followed: whoever answers for the URL must not choose who else hears of it.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::lane::Failure;
use crate::net::connect::{Connection, Protocol, connect};
use crate::net::target::TargetSpec;
use crate::net::tls::ClientTls;
use crate::net::{OwnAddresses, Target, proxy::Proxy};
use crate::snapshot::hooks::Headers;

/// How long connecting may take.
const CONNECT: std::time::Duration = std::time::Duration::from_secs(5);
/// Who asks.
const AGENT: &str = concat!("qcc/", env!("CARGO_PKG_VERSION"));

/// A URL, ready to be asked.
pub(super) struct Webhook {
    uri: Uri,
    target: Target,
    headers: HeaderMap,
}

impl Webhook {
    /// Reads certificates, away from this thread.
    pub(super) async fn open(url: String, headers: &Headers) -> Result<Self, Failure> {
        let headers = own(headers)?;
        let open = move || {
            let uri: Uri = url.parse().map_err(|_| Failure::lasting("its URL is none"))?;
            let (tls, proxy) = (ClientTls::default(), Proxy::FromEnvironment);
            let target = Target::new(TargetSpec { base: &uri, tls, proxy, connect_timeout: CONNECT });
            Ok(Self { target: target.map_err(Failure::lasting)?, uri, headers })
        };
        tokio::task::spawn_blocking(open).await.map_err(Failure::passing)?
    }

    /// Sends `body`, and takes any 2xx for thanks.
    pub(super) async fn post(&self, body: Bytes) -> Result<(), Failure> {
        let connection = connect(&self.target, &OwnAddresses::default()).await.map_err(Failure::passing)?;
        let answer = self.exchange(connection, body).await.map_err(Failure::passing)?;
        let status = answer.status();
        match status {
            _ if status.is_success() => Ok(()),
            _ if answer.headers().contains_key(LOCATION) => {
                Err(Failure::lasting(format_args!("{status}; redirects are not followed")))
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(Failure::passing(status)),
            _ if status.is_client_error() => Err(Failure::lasting(status)),
            _ => Err(Failure::passing(status)),
        }
    }

    async fn exchange(&self, connection: Connection, body: Bytes) -> hyper::Result<Response<Incoming>> {
        let (io, request) = (TokioIo::new(connection.io), self.request(connection.protocol, body));
        match connection.protocol {
            Protocol::Http1 => {
                let (mut sender, connection) = http1::handshake(io).await?;
                driven(sender.send_request(request), connection).await
            }
            Protocol::Http2 => {
                let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                driven(sender.send_request(request), connection).await
            }
        }
    }

    fn request(&self, protocol: Protocol, body: Bytes) -> Request<Full<Bytes>> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = http::Method::POST;
        let headers = request.headers_mut();
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        if protocol == Protocol::Http2 {
            *request.version_mut() = Version::HTTP_2;
            *request.uri_mut() = self.uri.clone();
        } else {
            headers.insert(HOST, self.target.host_header().clone());
            *request.uri_mut() = Uri::try_from(path).unwrap_or_default();
        }
        request
    }
}

/// The headers of the file, marked so that nobody shows them.
fn own(headers: &Headers) -> Result<HeaderMap, Failure> {
    let mut own = HeaderMap::with_capacity(headers.len());
    for (name, value) in &**headers {
        let secret = value.as_ref().map_err(|why| Failure::lasting(format_args!("header `{name}`: {why}")))?;
        let value = HeaderValue::from_str(secret.expose());
        let mut value = value.map_err(|_| Failure::lasting(format_args!("header `{name}` cannot be sent")))?;
        value.set_sensitive(true);
        own.insert(name.clone(), value);
    }
    Ok(own)
}

/// The answer, while the connection is kept going for it.
async fn driven(
    answer: impl Future<Output = hyper::Result<Response<Incoming>>>,
    connection: impl Future<Output = hyper::Result<()>>,
) -> hyper::Result<Response<Incoming>> {
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // It ends with the answer in it, or with the reason why there is none.
        _ = connection => answer.await,
    }
}
