//! Name -> addresses -> TCP, and the words for what went wrong on the way.

use std::error::Error;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tokio::net::TcpStream;
use tower_service::Service;

use super::connect::{ConnectError, ConnectErrorKind};

/// Resolves and connects; both IP families race (RFC 8305) and every address of a name is tried.
/// The addresses share `limit`, so that one that is silent leaves time for the next.
pub(super) async fn dial(uri: &Uri, limit: Duration) -> Result<TcpStream, ConnectError> {
    match connector(limit).call(uri.clone()).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(dial_error(uri, limit, &error)),
    }
}

fn connector(limit: Duration) -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(limit));
    // An answer may be silent for minutes: address translators on the way must not forget the connection meanwhile.
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.set_keepalive_interval(Some(Duration::from_secs(15)));
    connector
}

fn dial_error(uri: &Uri, limit: Duration, error: &(dyn Error + 'static)) -> ConnectError {
    if let Some(NameError(cause)) = causes(error).find_map(|cause| cause.downcast_ref()) {
        let (host, why) = (uri.host().unwrap_or_default(), cause.to_string());
        let why = why.rsplit(": ").next().unwrap_or_default();
        let message = format!("cannot resolve `{host}`: {why}; check `base_url` and this machine's DNS");
        return ConnectError::new(ConnectErrorKind::Dns, message);
    }
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    let address = uri.authority().map_or("", |authority| authority.as_str());
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut) {
        return ConnectError::timeout(address, limit);
    }
    let why = cause.map_or_else(|| error.to_string(), io_message);
    ConnectError::new(ConnectErrorKind::Connect, format!("cannot connect to {address}: {why}"))
}

/// `error` and what caused it, outermost first. An `io::Error` that only carries another error counts as its effect.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    fn cause<'a>(error: &&'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
        let error: &'a (dyn Error + 'static) = *error;
        let carried = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        carried.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source())
    }
    std::iter::successors(Some(error), cause)
}

/// The system's words without their number.
pub(crate) fn io_message(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed by the other side".to_owned(),
        kind if error.raw_os_error().is_some() && kind != io::ErrorKind::Other => kind.to_string(),
        _ => error.to_string(),
    }
}

/// The system's resolver, whose errors can be told from those of connecting.
#[derive(Clone, Debug)]
struct Resolver(GaiResolver);

/// A name did not resolve.
#[derive(Debug)]
struct NameError(io::Error);

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for NameError {}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = NameError;
    type Future = Pin<Box<dyn Future<Output = Result<GaiAddrs, NameError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        self.0.poll_ready(cx).map_err(NameError)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let resolving = self.0.call(name);
        Box::pin(async move { resolving.await.map_err(NameError) })
    }
}
