//! The way through a proxy: CONNECT or SOCKS5, whatever is spoken inside.

use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use super::connect::{ConnectError, ConnectErrorKind, Io, secure};
use super::dial::dial;
use super::proxy::{ProxyAuth, ProxyKind};
use super::target::{Hop, Target};

/// Connects to the proxy and through it to `target`.
pub(super) async fn through(hop: &Hop, target: &Target) -> Result<Io, ConnectError> {
    let refused =
        |error: &dyn fmt::Display| ConnectError::new(ConnectErrorKind::Proxy, format!("proxy {}: {error}", hop.server));
    let io: Io = Box::new(dial(&hop.uri, target.connect_timeout()).await.map_err(|error| refused(&error))?);
    let io = match &hop.tls {
        None => io,
        Some(tls) => secure(io, tls, &hop.server.to_string()).await.map_err(|error| refused(&error))?.io,
    };
    let destination = target.origin().clone();
    let tunnelled = match hop.server.kind {
        ProxyKind::Http | ProxyKind::Https => {
            http_tunnel(hop, io).call(destination).await.map_err(|error| refused(&error))?
        }
        ProxyKind::Socks5 => socks_tunnel(hop, io).call(destination).await.map_err(|error| refused(&error))?,
    };
    Ok(tunnelled.into_inner())
}

fn http_tunnel(hop: &Hop, io: Io) -> Tunnel<Established> {
    let tunnel = Tunnel::new(hop.uri.clone(), Established::new(io));
    match hop.server.basic_auth() {
        Some(value) => tunnel.with_auth(value),
        None => tunnel,
    }
}

fn socks_tunnel(hop: &Hop, io: Io) -> SocksV5<Established> {
    let tunnel = SocksV5::new(hop.uri.clone(), Established::new(io));
    match &hop.server.auth {
        ProxyAuth::Password(user, password) => tunnel.with_auth(user.expose().to_owned(), password.expose().to_owned()),
        ProxyAuth::None | ProxyAuth::Basic(_) => tunnel,
    }
}

/// A connector that hands out a connection that already stands, once: the tunnels then add only their own handshake,
/// and their errors are errors of the proxy alone.
struct Established(Option<TokioIo<Io>>);

impl Established {
    fn new(io: Io) -> Self {
        Self(Some(TokioIo::new(io)))
    }
}

impl Service<Uri> for Established {
    type Response = TokioIo<Io>;
    type Error = io::Error;
    type Future = Ready<io::Result<TokioIo<Io>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}
