//! One client connection, from its acceptance to its end.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulConnection;
use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::connection::{Activity, Patience, Watched};
use super::service::{Connection, Door, handle};
use super::stream::Streams;
use crate::dispatch::Shared;
use crate::limit::Share;
use crate::net::tls::Acceptor;

/// Streams of one HTTP/2 connection at once.
const STREAMS: u32 = 256;
/// How long a connection whose client took too long may take to close in order.
const PARTING: Duration = Duration::from_millis(500);

/// How HTTP/2 begins over plain TCP.
const PREFACE: &[u8] = b"PRI * HTTP/2.0";

/// What the process is doing, as every connection sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Serving,
    /// Taking no new requests, finishing those in progress.
    Draining,
    /// Ending what is still in progress.
    Ending,
}

/// A connection that was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The socket.
    pub stream: TcpStream,
    /// The address it was accepted at.
    pub local: SocketAddr,
    /// Its place among the connections.
    pub place: Share,
}

/// Serves one connection to its end.
pub async fn serve(door: Rc<Door>, accepted: Accepted, tls: Option<Acceptor>, phase: watch::Receiver<Phase>) {
    let Accepted { stream, local, place: _place } = accepted;
    let patience = patience(&door);
    match tls {
        None => {
            let Some(is_http1) = is_http1(&stream, patience.keep_alive, phase.clone()).await else {
                return tracing::debug!("connection timed out");
            };
            http(door, stream, local, is_http1, patience, phase).await;
        }
        // Boxed: it is large, and connections without TLS would have room for it too.
        Some(acceptor) => Box::pin(secure(door, stream, local, acceptor, patience, phase)).await,
    }
}

async fn secure(
    door: Rc<Door>,
    stream: TcpStream,
    local: SocketAddr,
    acceptor: Acceptor,
    patience: Patience,
    phase: watch::Receiver<Phase>,
) {
    match tokio::time::timeout(patience.header, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => http(door, stream, local, false, patience, phase).await,
        Ok(Err(error)) => tracing::debug!(%error, "TLS handshake failed"),
        Err(_) => tracing::debug!("TLS handshake took too long"),
    }
}

/// Whether the client's first bytes, which stay where they are, say that it does not begin with HTTP/2; `None` if none come
/// in time. Where they do not tell, whoever reads them finds out: knowing it beforehand only spares a larger buffer.
async fn is_http1(stream: &TcpStream, patience: Duration, mut phase: watch::Receiver<Phase>) -> Option<bool> {
    let mut first = [0; PREFACE.len()];
    let peeked = tokio::select! {
        peeked = stream.peek(&mut first) => peeked.unwrap_or(0),
        () = tokio::time::sleep(patience) => return None,
        _ = phase.wait_for(|phase| *phase != Phase::Serving) => 0,
    };
    Some(!PREFACE.starts_with(&first[..peeked]))
}

fn patience(door: &Door) -> Patience {
    let snapshot = door.worker.shared.cell.load();
    let timeouts = &snapshot.config.server.timeouts;
    let write = snapshot.config.timeouts.idle.get();
    Patience { header: timeouts.header.get(), keep_alive: timeouts.keep_alive.get(), write }
}

async fn http<T>(
    door: Rc<Door>,
    transport: T,
    local: SocketAddr,
    is_http1: bool,
    patience: Patience,
    phase: watch::Receiver<Phase>,
) where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let activity = Activity::new(patience);
    let shared = Arc::clone(&door.worker.shared);
    let connection = Connection { local, activity: Rc::clone(&activity) };
    let service = service_fn(move |request| {
        // Boxed: it is large, and hyper keeps room for it as long as the connection lives.
        let handled = Box::pin(handle(Rc::clone(&door), connection.clone(), request));
        Caught { handled }
    });
    let streams = Streams::new(patience.write);
    let io = TokioIo::new(Watched::new(transport, Rc::clone(&activity)));
    if is_http1 {
        return carry(http1().serve_connection(io, service), &activity, &shared, &streams, phase).await;
    }
    // Boxed: it is large, and connections known to be HTTP/1.1 would have room for it too.
    let builder = either(streams.clone());
    Box::pin(carry(builder.serve_connection(io, service), &activity, &shared, &streams, phase)).await;
}

/// Drives a connection to its end, in order where it has to end early.
async fn carry<C>(
    connection: C,
    activity: &Activity,
    shared: &Shared,
    streams: &Streams,
    mut phase: watch::Receiver<Phase>,
) where
    C: GracefulConnection<Error: std::fmt::Display>,
{
    let mut connection = pin!(connection);
    let mut expired = pin!(activity.expired());
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = expired.as_mut() => {
                tracing::debug!("connection timed out");
                // HTTP/2 is told, so that a request that crosses this is known to be unprocessed.
                connection.as_mut().graceful_shutdown();
                drop(tokio::time::timeout(PARTING, connection.as_mut()).await);
                return;
            }
            changed = phase.changed() => match changed.map(|()| *phase.borrow()) {
                Ok(Phase::Serving | Phase::Draining) => connection.as_mut().graceful_shutdown(),
                Ok(Phase::Ending) => {
                    // The relays see it when they are polled next, and end their streams: those of HTTP/1.1 with the
                    // connection, those of HTTP/2 in their own tasks.
                    shared.end();
                    streams.end();
                    connection.as_mut().graceful_shutdown();
                }
                Err(_) => return,
            },
        }
    }
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // The head's timer is ours: hyper's would also close connections that are merely unused.
    builder.header_read_timeout(None).timer(TokioTimer::new());
    builder
}

/// For a connection that shows only later which protocol it speaks.
fn either(streams: Streams) -> auto::Builder<Streams> {
    let mut builder = auto::Builder::new(streams);
    builder.http1().header_read_timeout(None).timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        .adaptive_window(true)
        .keep_alive_interval(Duration::from_secs(30));
    builder
}

pin_project! {
    /// Turns a panic of the future into an error.
    struct Caught<F> {
        #[pin]
        handled: F,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let handled = self.project().handled;
        let poll = || handled.poll(cx);
        std::panic::catch_unwind(AssertUnwindSafe(poll)).map_or(Poll::Ready(Err(Panicked)), |polled| polled.map(Ok))
    }
}

/// Handling a request panicked: its connection (HTTP/2: its stream) is closed.
#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("handling a request panicked")
    }
}

impl std::error::Error for Panicked {}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_open_connection_takes_little_memory() {
        let size = size_of_future(serve);
        assert!(size < 3_000, "{size} bytes for every connection");
    }
}
