//! A connection to an endpoint: name -> TCP -> proxy -> TLS, all within one deadline.
//!
//! - A direct connection that ends at an address of this process is refused: a proxy must not call itself.
//! - Errors are one short line that names `HOST:PORT`, never a path, a query or a password.

use std::error::Error;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::own::OwnAddresses;
use super::proxy::{ProxyAuth, ProxyKind};
use super::target::{Hop, Route, Target, Tls};

/// A byte stream of any kind: TCP, TLS over TCP, TLS through a proxy.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A byte stream to an endpoint. Boxed: one allocation per connection spares a type per kind of way.
pub type Io = Box<dyn Socket>;

/// What is spoken over a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1: one request at a time.
    Http1,
    /// HTTP/2, agreed on by ALPN.
    Http2,
}

/// A connection that stands.
pub struct Connection {
    /// The bytes.
    pub io: Io,
    /// What was agreed on.
    pub protocol: Protocol,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("protocol", &self.protocol).finish_non_exhaustive()
    }
}

/// Where connecting failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// The name does not resolve.
    Dns,
    /// Nobody answers at the address.
    Connect,
    /// The TLS handshake failed.
    Tls,
    /// The proxy cannot be reached, or refuses.
    Proxy,
    /// It took too long.
    Timeout,
    /// The address is this process itself.
    OwnAddress,
}

/// Why there is no connection: one line, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// Where it failed.
    pub kind: ConnectErrorKind,
    /// What happened.
    pub message: String,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ConnectError {}

impl ConnectError {
    fn new(kind: ConnectErrorKind, message: String) -> Self {
        Self { kind, message }
    }
}

/// Connects to `target` within its connect timeout. `own` are the addresses that must not be connected to.
///
/// # Cancel safety
/// Dropping the future closes what stands so far.
pub async fn connect(target: &Target, own: &OwnAddresses) -> Result<Connection, ConnectError> {
    let limit = target.connect_timeout();
    match tokio::time::timeout(limit, establish(target, own)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::new(
            ConnectErrorKind::Timeout,
            format!("no connection to {target} within {}", humantime::format_duration(limit)),
        )),
    }
}

async fn establish(target: &Target, own: &OwnAddresses) -> Result<Connection, ConnectError> {
    let io = match target.route() {
        Route::Direct => direct(target, own).await?,
        Route::Through(hop) => through(hop, target).await?,
    };
    match target.tls() {
        None => Ok(Connection { io, protocol: Protocol::Http1 }),
        Some(tls) => secure(io, tls, &target.to_string()).await,
    }
}

async fn direct(target: &Target, own: &OwnAddresses) -> Result<Io, ConnectError> {
    let stream = dial(target.origin()).await?;
    if let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr())
        && own.contains(local, peer)
    {
        let message = format!("the endpoint's address {target} is the proxy itself");
        return Err(ConnectError::new(ConnectErrorKind::OwnAddress, message));
    }
    Ok(Box::new(stream))
}

async fn through(hop: &Hop, target: &Target) -> Result<Io, ConnectError> {
    let refused =
        |error: &dyn fmt::Display| ConnectError::new(ConnectErrorKind::Proxy, format!("proxy {}: {error}", hop.server));
    let io: Io = Box::new(dial(&hop.uri).await.map_err(|error| refused(&error))?);
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

async fn secure(io: Io, tls: &Tls, who: &str) -> Result<Connection, ConnectError> {
    let stream = TlsConnector::from(tls.config.clone()).connect(tls.name.clone(), io).await;
    let stream = stream.map_err(|error| ConnectError::new(ConnectErrorKind::Tls, tls_message(who, &error)))?;
    let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(Connection { io: Box::new(stream), protocol: if is_h2 { Protocol::Http2 } else { Protocol::Http1 } })
}

fn tls_message(who: &str, error: &io::Error) -> String {
    use rustls::{CertificateError::UnknownIssuer, Error::InvalidCertificate};
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(InvalidCertificate(UnknownIssuer)) => {
            format!("TLS with {who}: its certificate is not signed by a trusted CA; a private CA goes into `ca_file`")
        }
        Some(cause) => format!("TLS with {who}: {cause}"),
        None => format!("TLS with {who}: {}", io_message(error)),
    }
}

/// Resolves and connects; both IP families race (RFC 8305) and every address of a name is tried.
async fn dial(uri: &Uri) -> Result<TcpStream, ConnectError> {
    static CONNECTOR: LazyLock<HttpConnector<Resolver>> = LazyLock::new(connector);
    match CONNECTOR.clone().call(uri.clone()).await {
        Ok(stream) => Ok(stream.into_inner()),
        Err(error) => Err(dial_error(uri, &error)),
    }
}

fn connector() -> HttpConnector<Resolver> {
    let mut connector = HttpConnector::new_with_resolver(Resolver(GaiResolver::new()));
    connector.enforce_http(false);
    connector.set_nodelay(true);
    // An answer may be silent for minutes: address translators on the way must not forget the connection meanwhile.
    connector.set_keepalive(Some(Duration::from_secs(30)));
    connector.set_keepalive_interval(Some(Duration::from_secs(15)));
    connector
}

fn dial_error(uri: &Uri, error: &(dyn Error + 'static)) -> ConnectError {
    if let Some(NameError(cause)) = causes(error).find_map(|cause| cause.downcast_ref()) {
        let (host, why) = (uri.host().unwrap_or_default(), cause.to_string());
        let why = why.rsplit(": ").next().unwrap_or_default();
        let message = format!("cannot resolve `{host}`: {why}; check `base_url` and this machine's DNS");
        return ConnectError::new(ConnectErrorKind::Dns, message);
    }
    let cause = causes(error).find_map(|cause| cause.downcast_ref::<io::Error>());
    let why = cause.map_or_else(|| error.to_string(), io_message);
    let address = uri.authority().map_or("", |authority| authority.as_str());
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
