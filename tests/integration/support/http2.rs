//! The HTTP/2 side of the scripted upstream.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;

use super::reply::{End, Reply, Step};
use super::upstream::{Recorded, Shared};

/// Serves one HTTP/2 connection.
pub(crate) async fn serve<S>(stream: S, connection: usize, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(request, connection, shared).await) }
    });
    let http = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    drop(http.serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: http::Request<Incoming>, connection: usize, shared: Arc<Shared>) -> http::Response<Scripted> {
    let request = record(request, connection).await;
    let (index, reply) = shared.take(request);
    let mut presence = Presence { index, shared, whole: false };
    for step in &reply.before {
        wait(step).await;
    }
    let Some(status) = reply.status else {
        // Nothing without HTTP around it can be said in HTTP/2: stay silent until the other side leaves.
        return std::future::pending().await;
    };
    let mut response = http::Response::builder().status(status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    let (sender, receiver) = mpsc::channel(1);
    presence.whole = reply.end == End::Whole && reply.body.is_empty();
    tokio::spawn(feed(reply, sender, presence));
    response.body(Scripted(receiver)).expect("the script's head is valid")
}

async fn record(request: http::Request<Incoming>, connection: usize) -> Recorded {
    let (head, body) = request.into_parts();
    let mut headers: Vec<_> =
        head.uri.authority().map(|a| (":authority".to_owned(), a.to_string())).into_iter().collect();
    for (name, value) in &head.headers {
        headers.push((name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    }
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let target = head.uri.path_and_query().map_or_else(|| head.uri.to_string(), ToString::to_string);
    Recorded { index: 0, connection, method: head.method.to_string(), target, headers, body, left: None }
}

async fn wait(step: &Step) {
    match step {
        Step::Pause(pause) => tokio::time::sleep(*pause).await,
        Step::Until(gate) => gate.opened().await,
        Step::Bytes(_) => {}
    }
}

async fn feed(reply: Reply, body: mpsc::Sender<Result<Bytes, h2::Error>>, mut presence: Presence) {
    for step in &reply.body {
        tokio::select! {
            () = wait(step) => {}
            () = body.closed() => return,
        }
        if let Step::Bytes(bytes) = step
            && body.send(Ok(bytes.clone())).await.is_err()
        {
            return;
        }
    }
    match reply.end {
        End::Whole => presence.whole = true,
        End::Reset | End::Eof => drop(body.send(Err(h2::Reason::INTERNAL_ERROR.into())).await),
        End::NoError => drop(body.send(Err(h2::Reason::NO_ERROR.into())).await),
        End::Hang => body.closed().await,
    }
}

/// Notes that the other side left when an answer is dropped before it is complete.
struct Presence {
    index: usize,
    shared: Arc<Shared>,
    whole: bool,
}

impl Drop for Presence {
    fn drop(&mut self) {
        if !self.whole {
            self.shared.left(self.index);
        }
    }
}

/// A body fed by a script.
struct Scripted(mpsc::Receiver<Result<Bytes, h2::Error>>);

impl Body for Scripted {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|bytes| bytes.map(Frame::data)))
    }
}
