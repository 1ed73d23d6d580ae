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
use super::socket::Door;
use crate::limit::{Limit, Share};

/// Connections at once; more wait to be accepted.
const CONNECTIONS: u64 = 64;
/// For the head of a request, and between two of them.
const HEAD: Duration = Duration::from_secs(10);
/// For a whole request, the wait for a verdict included.
const WHOLE: Duration = Duration::from_secs(90);
/// How long to wait when a connection cannot be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Answers at `door` until dropped.
pub async fn serve(door: Door, proxy: Arc<Proxy>) {
    let (table, places, mut connections) = (routes::table(proxy), Limit::default(), JoinSet::new());
    loop {
        let Some(place) = places.take(1, CONNECTIONS, HEAD).await else { continue };
        tokio::select! {
            accepted = door.accept() => match accepted {
                Ok(stream) => drop(connections.spawn(attend(stream, table.clone(), place))),
                Err(error) => refused(&error).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// No descriptors, or a stranger: neither ends the socket.
async fn refused(error: &io::Error) {
    tracing::warn!(%error, "a connection to the control socket was not accepted");
    tokio::time::sleep(PAUSE).await;
}

async fn attend(stream: impl AsyncRead + AsyncWrite + Unpin, table: Router, _place: Share) {
    let answer = service_fn(|request| answer(table.clone(), request));
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), answer).await {
        tracing::debug!(%error, "a connection to the API ended");
    }
}

async fn answer(mut table: Router, request: Request<Incoming>) -> Result<Response, Infallible> {
    let late = |_| {
        let message = "the request took too long";
        Ok(ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", message).into_response())
    };
    timeout(WHOLE, table.call(request)).await.unwrap_or_else(late)
}
