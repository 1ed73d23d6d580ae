//! The proxy on the way to an endpoint: chosen by the file, or by the environment as curl does.
//!
//! - Proxies of the environment are never used for loopback destinations.
//! - Traffic is always tunnelled (CONNECT or SOCKS5), so a proxy sees a host name and, of HTTPS, nothing else.
//! - Names are resolved by the proxy, never before it (also for `socks5://`).
//! - The password is a [`Secret`]; it is part of the identity of a connection pool, and of no text.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use crate::config::Secret;

/// Which proxy to use for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// None, whatever the environment says.
    None,
    /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (also in lower case) say.
    #[default]
    FromEnvironment,
    /// This one.
    Through(ProxyServer),
}

/// A proxy's address and how to authenticate to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyServer {
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) auth: ProxyAuth,
}

/// What a proxy speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ProxyKind {
    /// CONNECT over plain TCP.
    Http,
    /// CONNECT over TLS, verified by the system's certificates.
    Https,
    /// SOCKS version 5.
    Socks5,
}

/// How to authenticate to a proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProxyAuth {
    /// Not at all.
    None,
    /// The value of `proxy-authorization`.
    Basic(Secret),
    /// Name and password of SOCKS5.
    Password(Secret, Secret),
}

/// Why a proxy cannot be used. Never shows what was written: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyError {
    /// Not an address at all.
    Malformed,
    /// A kind that is not spoken here.
    Unsupported,
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a proxy address: write `http://HOST:PORT`, `socks5://HOST:PORT` or `none`",
            Self::Unsupported => "this kind of proxy is not supported: use `http`, `https` or `socks5`",
        })
    }
}

impl std::error::Error for ProxyError {}

impl FromStr for Proxy {
    type Err = ProxyError;

    /// Reads `none`, `http://[USER:PASSWORD@]HOST[:PORT]`, `https://...`, `socks5://...` or `socks5h://...`.
    fn from_str(text: &str) -> Result<Self, ProxyError> {
        if text == "none" {
            return Ok(Self::None);
        }
        let any = Uri::from_static("https://any.invalid/");
        let matcher = Matcher::builder().all(text).build();
        let found = matcher.intercept(&any).ok_or(ProxyError::Malformed)?;
        ProxyServer::new(&found).map(Self::Through)
    }
}

impl Proxy {
    /// The proxy to use for `destination`, if any. Reads the environment where that was chosen.
    pub(super) fn server_for(self, destination: &Uri) -> Result<Option<ProxyServer>, ProxyError> {
        match self {
            Self::None => Ok(None),
            Self::Through(server) => Ok(Some(server)),
            Self::FromEnvironment => from_matcher(&Matcher::from_env(), destination),
        }
    }
}

fn from_matcher(matcher: &Matcher, destination: &Uri) -> Result<Option<ProxyServer>, ProxyError> {
    if destination.host().is_some_and(is_loopback) {
        return Ok(None);
    }
    matcher.intercept(destination).map(|found| ProxyServer::new(&found)).transpose()
}

/// Whether `host`, as written in a URL, is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let ip = bare(&name).parse::<IpAddr>();
    name == "localhost" || name.ends_with(".localhost") || ip.is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// `host` without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl ProxyServer {
    fn new(found: &Intercept) -> Result<Self, ProxyError> {
        let (kind, default_port) = match found.uri().scheme().map_or("http", Scheme::as_str) {
            "http" => (ProxyKind::Http, 80),
            "https" => (ProxyKind::Https, 443),
            "socks5" | "socks5h" => (ProxyKind::Socks5, 1080),
            _ => return Err(ProxyError::Unsupported),
        };
        let authority = found.uri().authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or(ProxyError::Malformed)?;
        let port = port(authority, default_port)?;
        Ok(Self { kind, host: authority.host().to_owned(), port, auth: ProxyAuth::new(found) })
    }

    /// `http://HOST:PORT/`: where to connect to.
    pub(super) fn uri(&self) -> Result<Uri, ProxyError> {
        format!("http://{self}/").parse().map_err(|_| ProxyError::Malformed)
    }

    /// The value of `proxy-authorization`, marked sensitive.
    pub(super) fn basic_auth(&self) -> Option<HeaderValue> {
        let ProxyAuth::Basic(value) = &self.auth else { return None };
        let mut value = HeaderValue::from_str(value.expose()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// What makes connections through it interchangeable, for a digest only.
    pub(super) fn identity(&self) -> [&str; 4] {
        let kind = match self.kind {
            ProxyKind::Http => "http",
            ProxyKind::Https => "https",
            ProxyKind::Socks5 => "socks5",
        };
        match &self.auth {
            ProxyAuth::None => [kind, "", "", ""],
            ProxyAuth::Basic(value) => [kind, "basic", value.expose(), ""],
            ProxyAuth::Password(user, password) => [kind, "password", user.expose(), password.expose()],
        }
    }
}

impl fmt::Display for ProxyServer {
    /// `HOST:PORT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl ProxyAuth {
    fn new(found: &Intercept) -> Self {
        if let Some(value) = found.basic_auth() {
            return value.to_str().map_or(Self::None, |value| Self::Basic(Secret::new(value)));
        }
        found.raw_auth().map_or(Self::None, |(user, password)| Self::Password(Secret::new(user), Secret::new(password)))
    }
}

/// The port of `authority`; an empty or impossible one is an error.
pub(super) fn port(authority: &Authority, default: u16) -> Result<u16, ProxyError> {
    match authority.port() {
        Some(port) => Ok(port.as_u16()),
        None if authority.as_str().len() == authority.host().len() => Ok(default),
        None => Err(ProxyError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_read_and_its_password_shown_nowhere() {
        for (text, shown, kind) in [
            ("http://proxy.test:3128", "proxy.test:3128", ProxyKind::Http),
            ("http://user:canary@proxy.test", "proxy.test:80", ProxyKind::Http),
            ("https://user:canary@proxy.test", "proxy.test:443", ProxyKind::Https),
            ("socks5://user:canary@[::1]:9", "[::1]:9", ProxyKind::Socks5),
            ("socks5h://proxy.test", "proxy.test:1080", ProxyKind::Socks5),
        ] {
            let Ok(Proxy::Through(server)) = text.parse() else { panic!("{text}") };
            assert_eq!((server.to_string().as_str(), server.kind), (shown, kind), "{text}");
            assert!(!format!("{server:?} {:?}", server.basic_auth()).contains("canary"), "{server:?}");
        }
        assert_eq!("none".parse(), Ok(Proxy::None));
        assert_eq!("socks4://proxy.test".parse::<Proxy>(), Err(ProxyError::Unsupported));
        for wrong in ["", "ftp://proxy.test", "http://", "http://proxy.test:99999"] {
            assert_eq!(wrong.parse::<Proxy>(), Err(ProxyError::Malformed), "{wrong}");
        }
    }

    #[test]
    fn the_environment_counts_except_for_loopback_and_no_proxy() {
        let matcher = Matcher::builder().https("http://a.test:1").http("http://b.test:2").no("direct.test").build();
        for (destination, proxy) in [
            ("https://api.test", Some("a.test:1")),
            ("http://api.test", Some("b.test:2")),
            ("https://direct.test", None),
            ("https://localhost:8443", None),
            ("http://LOCALHOST.:80", None),
            ("http://demo.localhost", None),
            ("http://127.8.9.1", None),
            ("http://[::1]:8", None),
        ] {
            let found = from_matcher(&matcher, &destination.parse().expect("a URL")).expect("a known kind");
            assert_eq!(found.map(|server| server.to_string()).as_deref(), proxy, "{destination}");
        }
    }
}
