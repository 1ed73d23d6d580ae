//! The parts of a `base_url`, split by hand: a lenient parser would forgive what we want to say.

use super::address::Host;

/// A URL cut at its delimiters.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'u> {
    pub(super) scheme: &'u str,
    pub(super) userinfo: bool,
    pub(super) host: &'u str,
    pub(super) port: Option<&'u str>,
    pub(super) path: &'u str,
    pub(super) query: bool,
}

/// Cuts `url`; `None`: it has no `SCHEME://`.
pub(super) fn split(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let path_end = tail.find(['?', '#']).unwrap_or(tail.len());
    let (userinfo, authority) = match authority.rsplit_once('@') {
        Some((_, authority)) => (true, authority),
        None => (false, authority),
    };
    let (host, port) = host_and_port(authority);
    Some(Parts { scheme, userinfo, host, port, path: &tail[..path_end], query: path_end < tail.len() })
}

fn host_and_port(authority: &str) -> (&str, Option<&str>) {
    let after_host = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[after_host..].find(':') {
        Some(colon) => (&authority[..after_host + colon], Some(&authority[after_host + colon + 1..])),
        None => (authority, None),
    }
}

impl Parts<'_> {
    /// The host and the port, the scheme's own if none is written.
    pub(super) fn address(&self) -> Option<(Host, u16)> {
        let default = if self.scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        let port = self.port.map_or(Some(default), |port| port.parse().ok())?;
        Some((Host::parse(self.host), port))
    }

    /// Whether `scheme` is this one.
    pub(super) fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_at_its_delimiters() {
        let parts = split("https://u:p@[::1]:8443/a/b?c#d").expect("a URL");
        assert_eq!((parts.scheme, parts.userinfo, parts.host, parts.port), ("https", true, "[::1]", Some("8443")));
        assert_eq!((parts.path, parts.query), ("/a/b", true));
        let parts = split("http://a.example").expect("a URL");
        assert_eq!((parts.userinfo, parts.port, parts.path, parts.query), (false, None, "", false));
        assert_eq!(split("a.example"), None);
        assert_eq!(split("http://a:b:c").expect("a URL").port, Some("b:c"));
    }
}
