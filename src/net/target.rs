//! How an endpoint is reached: scheme, host, port, TLS, proxy, and how long connecting may take.
//!
//! - A target never changes; a new snapshot has new targets.
//! - Two targets with equal [`PoolId`] are interchangeable, so connections survive a reload.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use sha2::{Digest, Sha256};

use super::proxy::{Proxy, ProxyError, ProxyKind, ProxyServer, bare, port};
use super::tls::{ClientTls, TlsError, client_config};

/// What is said of a target.
#[derive(Clone)]
pub struct TargetSpec<'a> {
    /// `http` or `https`, host and optional port; path and query are ignored.
    pub base: &'a Uri,
    /// How the endpoint is verified; unused for `http`.
    pub tls: ClientTls<'a>,
    /// The proxy on the way.
    pub proxy: Proxy,
    /// How long name resolution, TCP, proxy and TLS may take together.
    pub connect_timeout: Duration,
}

/// Names the set of interchangeable connections: one per distinct (scheme, host, port, TLS settings, proxy).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PoolId(u128);

/// An immutable description of how to reach an endpoint.
pub struct Target {
    scheme: Scheme,
    origin: Uri,
    authority: Authority,
    host_header: HeaderValue,
    tls: Option<Tls>,
    route: Route,
    connect_timeout: Duration,
    pool: PoolId,
}

/// What a TLS handshake needs.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

/// The way to the endpoint.
pub(super) enum Route {
    Direct,
    Through(Box<Hop>),
}

/// A proxy on the way, ready to be used.
pub(super) struct Hop {
    pub(super) server: ProxyServer,
    pub(super) uri: Uri,
    pub(super) tls: Option<Tls>,
}

/// Why an endpoint cannot be reached by any means.
#[derive(Debug)]
pub enum TargetError {
    /// The address is not `http(s)://HOST[:PORT]`.
    Address,
    /// The TLS settings cannot be used.
    Tls(TlsError),
    /// The proxy setting cannot be used.
    Proxy(ProxyError),
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address => f.write_str("not an address: write `https://HOST` or `https://HOST:PORT`"),
            Self::Tls(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TargetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Address => None,
            Self::Tls(error) => Some(error),
            Self::Proxy(error) => Some(error),
        }
    }
}

impl From<TlsError> for TargetError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<ProxyError> for TargetError {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl Target {
    /// Builds a target. Reads the proxy variables of the environment where [`Proxy::FromEnvironment`] is chosen, and the
    /// system's certificates where they are not in use yet.
    pub fn new(spec: TargetSpec<'_>) -> Result<Self, TargetError> {
        let scheme = spec.base.scheme().filter(|scheme| is_http(scheme)).ok_or(TargetError::Address)?.clone();
        let (host, port) = host_and_port(spec.base, default_port(&scheme))?;
        let origin: Uri = format!("{scheme}://{host}:{port}/").parse().map_err(|_| TargetError::Address)?;
        let secure = scheme == Scheme::HTTPS;
        let server = spec.proxy.server_for(&origin)?;
        let pool = PoolId::new(&origin, secure.then(|| spec.tls.digest()), server.as_ref());
        let authority = shown_authority(&host, port, &scheme)?;
        Ok(Self {
            tls: secure.then(|| Tls::new(&host, &spec.tls)).transpose()?,
            host_header: HeaderValue::from_str(authority.as_str()).map_err(|_| TargetError::Address)?,
            authority,
            route: server.map_or(Ok(Route::Direct), Route::through)?,
            connect_timeout: spec.connect_timeout,
            scheme,
            origin,
            pool,
        })
    }

    /// Which connections it can use.
    pub fn pool(&self) -> PoolId {
        self.pool
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// The value of `Host`: the host, with the port unless it is the default one.
    pub fn host_header(&self) -> &HeaderValue {
        &self.host_header
    }

    /// The same as an authority, for HTTP/2.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// How long connecting may take.
    pub fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// `SCHEME://HOST:PORT/`, the port always written.
    pub(super) fn origin(&self) -> &Uri {
        &self.origin
    }

    pub(super) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    pub(super) fn route(&self) -> &Route {
        &self.route
    }

    /// Whether HTTP/2 may be agreed on: it is only ever by TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }
}

impl fmt::Display for Target {
    /// `HOST:PORT`, for people.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("origin", &self.origin).field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Tls {
    fn new(host: &str, settings: &ClientTls<'_>) -> Result<Self, TargetError> {
        let name = ServerName::try_from(bare(host).to_owned()).map_err(|_| TargetError::Address)?;
        Ok(Self { config: client_config(settings)?, name })
    }

    /// The tunnel is asked for in HTTP/1.1: the proxy must not agree on anything else.
    fn to_proxy(host: &str) -> Result<Self, TargetError> {
        let mut tls = Self::new(host, &ClientTls::default())?;
        Arc::make_mut(&mut tls.config).alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(tls)
    }
}

impl Route {
    fn through(server: ProxyServer) -> Result<Self, TargetError> {
        let tls = match server.kind {
            ProxyKind::Https => Some(Tls::to_proxy(&server.host)?),
            ProxyKind::Http | ProxyKind::Socks5 => None,
        };
        Ok(Self::Through(Box::new(Hop { uri: server.uri()?, server, tls })))
    }
}

impl PoolId {
    fn new(origin: &Uri, tls: Option<[u8; 32]>, proxy: Option<&ProxyServer>) -> Self {
        let (origin, proxy_address) = (origin.to_string(), proxy.map(ToString::to_string));
        let [kind, method, user, password] = proxy.map_or([""; 4], ProxyServer::identity);
        let tls = tls.unwrap_or_default();
        let mut hash = Sha256::new();
        for part in [&origin, proxy_address.as_deref().unwrap_or(""), kind, method, user, password] {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(tls);
        let digest: [u8; 32] = hash.finalize().into();
        // Half of a digest: no two settings of one process ever meet in it.
        Self(digest[..16].iter().fold(0, |id, byte| id << 8 | u128::from(*byte)))
    }
}

fn is_http(scheme: &Scheme) -> bool {
    *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS
}

fn default_port(scheme: &Scheme) -> u16 {
    if *scheme == Scheme::HTTPS { 443 } else { 80 }
}

/// Host in lower case, and port. User information is refused: a key does not belong there.
fn host_and_port(base: &Uri, default: u16) -> Result<(String, u16), TargetError> {
    let authority = base.authority().filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.filter(|authority| !authority.host().is_empty()).ok_or(TargetError::Address)?;
    let port = port(authority, default).map_err(|_| TargetError::Address)?;
    Ok((authority.host().to_ascii_lowercase(), port))
}

/// Host and port as HTTP shows them: a default port is left out.
fn shown_authority(host: &str, port: u16, scheme: &Scheme) -> Result<Authority, TargetError> {
    let text = if port == default_port(scheme) { host.to_owned() } else { format!("{host}:{port}") };
    Authority::try_from(text).map_err(|_| TargetError::Address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(base: &str, proxy: &str) -> Result<Target, TargetError> {
        let base: Uri = base.parse().expect("a URL");
        Target::new(TargetSpec {
            base: &base,
            tls: ClientTls::default(),
            proxy: proxy.parse().expect("a proxy"),
            connect_timeout: Duration::from_secs(5),
        })
    }

    #[test]
    fn the_host_header_leaves_default_ports_out() {
        for (base, host, shown) in [
            ("http://Api.Test/v1?key=canary", "api.test", "api.test:80"),
            ("http://api.test:80", "api.test", "api.test:80"),
            ("http://api.test:8080/anthropic", "api.test:8080", "api.test:8080"),
            ("http://[::1]:443", "[::1]:443", "[::1]:443"),
        ] {
            let target = target(base, "none").expect(base);
            assert_eq!(target.host_header(), host, "{base}");
            assert_eq!(target.to_string(), shown);
            assert!(!format!("{target:?}").contains("canary"));
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for wrong in ["ftp://api.test", "http://user:canary@api.test", "/path", "http://api.test:0x1"] {
            let Ok(base) = wrong.parse::<Uri>() else { continue };
            let error = target(&base.to_string(), "none").expect_err(wrong);
            assert!(!error.to_string().contains("canary"));
        }
    }

    #[test]
    fn equal_settings_share_connections_and_others_do_not() {
        let id = |base, proxy| target(base, proxy).expect(base).pool();
        assert_eq!(id("http://api.test", "none"), id("http://API.test:80/other", "none"));
        let all = [
            id("http://api.test", "none"),
            id("http://api.test:81", "none"),
            id("http://api.test", "http://proxy.test"),
            id("http://api.test", "socks5://proxy.test:80"),
            id("http://api.test", "http://me:one@proxy.test"),
            id("http://api.test", "http://me:two@proxy.test"),
        ];
        for (n, one) in all.iter().enumerate() {
            assert!(all[n + 1..].iter().all(|other| other != one), "{n}");
        }
    }
}
