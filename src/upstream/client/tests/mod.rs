//! What the client promises, against peers that are scripted byte by byte (HTTP/1.1) or frame by frame (HTTP/2).

mod http1;
mod http2;
mod route;
mod tls;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::{Answer, Client, SendError};
use crate::net::target::TargetSpec;
use crate::net::tls::ClientTls;
use crate::net::{OwnAddresses, Proxy, Target};

/// A body of segments, as a collected request is kept.
#[derive(Clone, Debug, Default)]
struct Segments(VecDeque<Bytes>);

impl Body for Segments {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|segment| Ok(Frame::data(segment))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|segment| segment.len() as u64).sum())
    }
}

/// Runs a test where tasks of one thread may be spawned; no test waits longer than ten seconds.
async fn on_a_worker<T>(test: impl Future<Output = T>) -> T {
    let limited = tokio::time::timeout(Duration::from_secs(10), test);
    LocalSet::new().run_until(limited).await.expect("the test hangs")
}

fn client() -> Client<Segments> {
    Client::new(OwnAddresses::default())
}

fn target(base: &str, tls: ClientTls<'_>, proxy: Proxy) -> Arc<Target> {
    let base: Uri = base.parse().expect("a URL");
    let spec = TargetSpec { base: &base, tls, proxy, connect_timeout: Duration::from_secs(5) };
    Arc::new(Target::new(spec).expect("a reachable target"))
}

fn plain(address: SocketAddr) -> Arc<Target> {
    target(&format!("http://{address}"), ClientTls::default(), Proxy::None)
}

fn get(path: &str) -> Request<Segments> {
    Request::get(path).body(Segments::default()).expect("a request")
}

fn post(path: &str, segments: &[&'static [u8]]) -> Request<Segments> {
    let body = Segments(segments.iter().map(|segment| Bytes::from_static(segment)).collect());
    Request::builder().method(Method::POST).uri(path).body(body).expect("a request")
}

async fn text(answer: Result<Response<Answer>, SendError>) -> String {
    let body = answer.expect("an answer").into_body().collect().await.expect("a whole body");
    String::from_utf8(body.to_bytes().to_vec()).expect("text")
}

/// A listening scripted peer.
struct Peer(TcpListener);

impl Peer {
    async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    fn target(&self) -> Arc<Target> {
        plain(self.address())
    }

    /// Sends it a request.
    async fn ask(&self, client: &Client<Segments>, request: Request<Segments>) -> Result<Response<Answer>, SendError> {
        client.send(&self.target(), || request.clone()).await
    }

    async fn accept(&self) -> Wire {
        Wire { stream: self.0.accept().await.expect("a connection").0, read: Vec::new() }
    }
}

/// One connection of a scripted peer.
struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// Reads up to the end of a head, and returns it.
    async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                let head = self.read.drain(..end + 4).collect();
                return String::from_utf8(head).expect("an ASCII head");
            }
            assert!(self.more().await > 0, "the connection ended before a request");
        }
    }

    /// Reads exactly `length` bytes.
    async fn bytes(&mut self, length: usize) -> Vec<u8> {
        while self.read.len() < length {
            assert!(self.more().await > 0, "the connection ended within a body");
        }
        self.read.drain(..length).collect()
    }

    async fn more(&mut self) -> usize {
        self.stream.read_buf(&mut self.read).await.unwrap_or(0)
    }

    async fn write(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.expect("the client listens");
    }

    /// Answers with a body of known length.
    async fn answer(&mut self, body: &str) {
        self.write(&format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
    }

    /// Waits until the client has closed the connection.
    async fn closed(&mut self) {
        while self.more().await > 0 {}
    }
}
