//! A client over hyper: HTTP/1.1 and HTTP/2, plain and TLS, one connection each.

use std::net::SocketAddr;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::http1::{Ended, Headers, header, values};
use super::{Ca, in_time, messages};

/// A request being put together; by default a message for the usual model.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    headers: Headers,
    body: Bytes,
}

impl Request {
    pub(crate) fn new(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    /// `POST /v1/messages` with this body.
    pub(crate) fn messages(body: impl Into<Bytes>) -> Self {
        let fields =
            [("content-type", "application/json"), ("x-api-key", "proxy-managed"), ("anthropic-version", "2023-06-01")];
        let request = Self { body: body.into(), ..Self::new("POST", "/v1/messages?beta=true") };
        fields.into_iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// A message that is to be streamed.
    pub(crate) fn stream() -> Self {
        Self::messages(messages::ask(messages::MODEL, true))
    }

    /// A message that is not to be streamed.
    pub(crate) fn unary() -> Self {
        Self::messages(messages::ask(messages::MODEL, false))
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Takes a header out again.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(n, _)| n != name);
        self
    }

    pub(crate) fn session(self, session: &str) -> Self {
        self.header("x-claude-code-session-id", session)
    }

    pub(crate) fn target(self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self }
    }

    fn build(&self, origin: &str, version: http::Version) -> http::Request<Full<Bytes>> {
        let target =
            if version == http::Version::HTTP_2 { format!("{origin}{}", self.target) } else { self.target.clone() };
        let mut request = http::Request::builder().method(self.method).uri(target).version(version);
        if version == http::Version::HTTP_11 {
            request = request.header("host", origin.split("//").last().unwrap_or_default());
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone())).expect("the test wrote a valid request")
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) body: Bytes,
    pub(crate) ended: Ended,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        values(&self.headers, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The id of the endpoint that answered.
    pub(crate) fn endpoint(&self) -> &str {
        self.header("qcc-endpoint").and_then(|name| name.rsplit('/').next()).unwrap_or("none")
    }

    /// The `type` of an error in Anthropic's shape.
    pub(crate) fn error_type(&self) -> String {
        let value: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        assert_eq!(value["type"], "error", "an error in Anthropic's shape: {}", self.text());
        assert!(value["error"]["message"].is_string(), "an error in Anthropic's shape: {}", self.text());
        value["error"]["type"].as_str().unwrap_or_default().to_owned()
    }

    /// Asserts that this is an answer a client is happy with.
    #[track_caller]
    pub(crate) fn assert_served(&self) -> &Self {
        assert_eq!((self.status, self.ended), (200, Ended::Whole), "{:?} {}", self.headers, self.text());
        self
    }
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// One connection to the proxy. Dropping it closes the connection.
pub(crate) struct Client {
    sender: Sender,
    origin: String,
    connection: tokio::task::JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    pub(crate) async fn h1(address: SocketAddr) -> Self {
        Self::over_h1(connect(address).await, format!("http://{address}")).await
    }

    /// The same where the proxy may be killed at this very moment; `None` if it was.
    pub(crate) async fn try_h1(address: SocketAddr) -> Option<Self> {
        let stream = TcpStream::connect(address).await.ok()?;
        Some(Self::over_h1(stream, format!("http://{address}")).await)
    }

    /// HTTP/2 without TLS, by prior knowledge.
    pub(crate) async fn h2(address: SocketAddr) -> Self {
        Self::over_h2(connect(address).await, format!("http://{address}")).await
    }

    pub(crate) async fn tls_h1(address: SocketAddr, ca: &Ca) -> Self {
        Self::over_h1(tls(address, ca, "http/1.1").await, format!("https://{address}")).await
    }

    pub(crate) async fn tls_h2(address: SocketAddr, ca: &Ca) -> Self {
        Self::over_h2(tls(address, ca, "h2").await, format!("https://{address}")).await
    }

    async fn over_h1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, origin: String) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection for HTTP/1.1");
        let connection = tokio::spawn(async { drop(connection.await) });
        Self { sender: Sender::H1(sender), origin, connection }
    }

    async fn over_h2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, origin: String) -> Self {
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = handshake.await.expect("a connection for HTTP/2");
        let connection = tokio::spawn(async { drop(connection.await) });
        Self { sender: Sender::H2(sender), origin, connection }
    }

    /// Sends `request` and gives the answer's head; the body is read from it as it comes.
    pub(crate) async fn begin(&mut self, request: &Request) -> hyper::Result<http::Response<Incoming>> {
        match &mut self.sender {
            Sender::H1(sender) => {
                sender.ready().await?;
                sender.send_request(request.build(&self.origin, http::Version::HTTP_11)).await
            }
            Sender::H2(sender) => {
                sender.ready().await?;
                sender.send_request(request.build(&self.origin, http::Version::HTTP_2)).await
            }
        }
    }

    /// Sends `request` and gives its whole answer.
    pub(crate) async fn send(&mut self, request: &Request) -> Answer {
        in_time("an answer", self.try_send(request)).await.expect("an answer, not a broken connection")
    }

    /// Sends `request` and gives its whole answer, or the error of a connection that broke before its head.
    pub(crate) async fn try_send(&mut self, request: &Request) -> hyper::Result<Answer> {
        Ok(collect(self.begin(request).await?).await)
    }
}

/// Reads the rest of an answer.
pub(crate) async fn collect(response: http::Response<Incoming>) -> Answer {
    let (head, mut incoming) = response.into_parts();
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let mut answer = Answer {
        status: head.status.as_u16(),
        headers: head.headers.iter().map(field).collect(),
        body: Bytes::new(),
        ended: Ended::Whole,
    };
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => body.extend_from_slice(&data),
            Ok(Err(_)) => {}
            Err(_) => {
                answer.ended = Ended::Cut;
                break;
            }
        }
    }
    answer.body = body.freeze();
    answer
}

/// Reads from `body` until its content contains `text`.
pub(crate) async fn read_until(body: &mut Incoming, text: &str) -> Bytes {
    let mut seen = BytesMut::new();
    while memchr::memmem::find(&seen, text.as_bytes()).is_none() {
        let frame = in_time(text, body.frame()).await.unwrap_or_else(|| panic!("ended before {text:?}: {seen:?}"));
        if let Ok(data) = frame.expect("the stream is not cut").into_data() {
            seen.extend_from_slice(&data);
        }
    }
    seen.freeze()
}

async fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.expect("the proxy listens");
    stream.set_nodelay(true).expect("a socket takes options");
    stream
}

async fn tls(address: SocketAddr, ca: &Ca, alpn: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").expect("a valid name");
    let stream = ca.connector(&[alpn]).connect(name, connect(address).await).await.expect("a TLS handshake");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn.as_bytes()));
    stream
}
