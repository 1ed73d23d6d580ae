//! Hosts and ports as they are written in `listen` and `base_url`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// A host: an address or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Ip(IpAddr),
    /// In lower case, without a final dot.
    Name(String),
}

impl Host {
    /// Of a URL: IPv6 addresses in brackets.
    pub(super) fn parse(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(ip) => Self::Ip(ip.to_canonical()),
            Err(_) => Self::Name(text.trim_end_matches('.').to_ascii_lowercase()),
        }
    }

    /// Whether only this machine is reached.
    pub(super) fn is_loopback(&self) -> bool {
        match self {
            Self::Ip(ip) => ip.is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// `0.0.0.0` or `[::]`: every address of this machine.
    pub(super) fn is_unspecified(&self) -> bool {
        matches!(self, Self::Ip(ip) if ip.is_unspecified())
    }

    /// Whether a connection to this host arrives at a listener on `listener`.
    pub(super) fn reaches(&self, listener: &Self) -> bool {
        let local = |host: &Self| host.is_loopback() || host.is_unspecified();
        self == listener || (local(self) && local(listener))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(ip) => ip.fmt(f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// `IP:PORT` or `localhost:PORT`.
pub(super) fn parse_listen(text: &str) -> Option<(Host, u16)> {
    if let Some(port) = text.strip_prefix("localhost:") {
        return Some((Host::Name("localhost".to_owned()), port.parse().ok()?));
    }
    let address: SocketAddr = text.parse().ok()?;
    Some((Host::Ip(address.ip().to_canonical()), address.port()))
}
