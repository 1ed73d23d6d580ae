//! A connection to an endpoint: name -> TCP -> proxy -> TLS, all within one deadline.
//!
//! - A direct connection that ends at an address of this process is refused: a proxy must not call itself.
//! - Errors are one short line that names `HOST:PORT`, never a path, a query or a password.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use super::dial::dial;
pub(crate) use super::dial::{causes, io_message};
use super::own::OwnAddresses;
use super::target::{Route, Target, Tls};
use super::tunnel::through;

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
    pub(super) fn new(kind: ConnectErrorKind, message: String) -> Self {
        Self { kind, message }
    }

    pub(super) fn timeout(whom: &str, limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        Self::new(ConnectErrorKind::Timeout, format!("no connection to {whom} within {limit}"))
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
        Err(_) => Err(ConnectError::timeout(&target.to_string(), limit)),
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
    let stream = dial(target.origin(), target.connect_timeout()).await?;
    if let (Ok(local), Ok(peer)) = (stream.local_addr(), stream.peer_addr())
        && own.contains(local, peer)
    {
        let message = format!("the endpoint's address {target} is the proxy itself");
        return Err(ConnectError::new(ConnectErrorKind::OwnAddress, message));
    }
    Ok(Box::new(stream))
}

/// Shakes hands over `io` with `who`, whose name is only for people.
pub(super) async fn secure(io: Io, tls: &Tls, who: &str) -> Result<Connection, ConnectError> {
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
