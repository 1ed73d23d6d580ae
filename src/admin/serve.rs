//! Connections of the API, from acceptance to end. All of them end with the future of [`serve`].

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tower_service::Service as _;

use super::Proxy;
use super::error::ApiError;
use super::routes;
use crate::limit::{Limit, Share};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: u64 = 64;
/// For the head of a request, and between two of them.
const HEAD: Duration = Duration::from_secs(10);
/// For a whole request, the wait for a verdict included.
const WHOLE: Duration = Duration::from_secs(90);
/// How long to wait when a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Where connections come from, and who may ask there.
pub trait Entrance: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one.
    fn accept(&self) -> impl Future<Output = io::Result<Self::Stream>> + Send;

    /// Whether this may be asked, before anything is done for it.
    fn admit<B>(&self, request: &Request<B>) -> Result<(), ApiError>;
}

/// Answers at `entrance` until dropped.
pub async fn serve<E: Entrance>(entrance: E, proxy: Arc<Proxy>) {
    let (entrance, table, places) = (Arc::new(entrance), routes::table(proxy), Limit::default());
    let mut connections = JoinSet::new();
    loop {
        let Some(place) = places.take(1, CONNECTIONS, HEAD).await else { continue };
        tokio::select! {
            accepted = entrance.accept() => match accepted {
                Ok(stream) => drop(connections.spawn(attend(Arc::clone(&entrance), stream, table.clone(), place))),
                Err(error) => refused(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// No descriptors, or a stranger: neither ends it.
async fn refused(error: &io::Error) {
    tracing::warn!(%error, "a connection to the API was not accepted");
    tokio::time::sleep(PAUSE).await;
}

async fn attend<E: Entrance>(entrance: Arc<E>, stream: E::Stream, table: Router, _place: Share) {
    let answer = service_fn(|request| answer(entrance.as_ref(), table.clone(), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

async fn answer<E: Entrance>(
    entrance: &E,
    mut table: Router,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    if let Err(refused) = entrance.admit(&request) {
        return Ok(refused.into_response());
    }
    let late = |_| {
        let message = "the request took too long";
        Ok(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).into_response())
    };
    timeout(WHOLE, table.call(request)).await.unwrap_or_else(late)
}
