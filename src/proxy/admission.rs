//! Who may ask, before anything is done for them: `Host`, `Origin`, method, token. Pure.

use http::header::{AUTHORIZATION, HOST, ORIGIN, TRANSFER_ENCODING, UPGRADE};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version};

use crate::dispatch::answer::Refusal;
use crate::snapshot::clients::Clients;
use http::StatusCode;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The header in which a client authenticates to qcc where its own credential goes upstream.
pub const QCC_TOKEN: HeaderName = HeaderName::from_static("qcc-token");
/// The header of the API's keys.
pub const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses what a browser page, a rebound name or a smuggler would send.
pub fn check<B>(request: &Request<B>, local: SocketAddr, hosts: &[String]) -> Result<(), Refusal> {
    let authority = authority(request)?;
    if local.ip().to_canonical().is_loopback() && !is_ours(&authority, hosts) {
        let message = format!("this proxy does not answer for `{authority}`; add the name to server.hosts");
        return Err(Refusal::forbidden("host-refused", message));
    }
    check_origin(request.headers(), &authority)?;
    check_coding(request.headers())?;
    check_method(request)
}

/// The one name the request is for.
fn authority<B>(request: &Request<B>) -> Result<Authority, Refusal> {
    let wrong = |what: &str| Refusal::invalid("bad-host", format!("{what} Host header")).and_close();
    let mut named = request.headers().get_all(HOST).iter();
    let host = named.next().map(|host| parse_host(host.as_bytes())).transpose().map_err(|()| wrong("malformed"))?;
    if named.next().is_some() {
        return Err(wrong("more than one"));
    }
    match (host, request.uri().authority()) {
        (Some(host), Some(target)) if !host.as_str().eq_ignore_ascii_case(target.as_str()) => {
            Err(wrong("contradicting"))
        }
        (_, Some(target)) if target.as_str().contains('@') => Err(wrong("malformed")),
        (Some(host), _) => Ok(host),
        (None, Some(target)) if request.version() == Version::HTTP_2 => Ok(target.clone()),
        (None, _) => Err(wrong("missing")),
    }
}

fn parse_host(host: &[u8]) -> Result<Authority, ()> {
    let plain = !host.iter().any(|byte| matches!(byte, b'/' | b'#' | b'@' | b'?' | b'\\' | b' '));
    plain.then(|| Authority::try_from(host).ok()).flatten().ok_or(())
}

/// Whether the name means this machine, or is one the file accepts.
fn is_ours(authority: &Authority, hosts: &[String]) -> bool {
    let name = authority.host();
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
        || name.to_ascii_lowercase().ends_with(".localhost")
        || hosts.iter().any(|host| host.eq_ignore_ascii_case(name) || host.eq_ignore_ascii_case(authority.as_str()))
}

fn check_origin(headers: &HeaderMap, authority: &Authority) -> Result<(), Refusal> {
    let own = |origin: &[u8]| {
        let origin = std::str::from_utf8(origin).unwrap_or_default();
        let name = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        name.is_some_and(|name| name.eq_ignore_ascii_case(authority.as_str()))
    };
    let foreign = headers.get_all(ORIGIN).iter().any(|origin| !own(origin.as_bytes()));
    let cross = headers.get_all(SEC_FETCH_SITE).iter().any(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    if foreign || cross {
        return Err(Refusal::forbidden("origin-refused", "web pages may not call this proxy"));
    }
    Ok(())
}

fn check_method<B>(request: &Request<B>) -> Result<(), Refusal> {
    let refuse = |reason, message: &str| {
        Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "invalid_request_error", reason, message))
    };
    match *request.method() {
        Method::CONNECT | Method::TRACE => {
            refuse("method-refused", "this proxy serves the Anthropic API and tunnels nothing")
        }
        Method::OPTIONS => refuse("method-refused", "this proxy answers no CORS preflight: web pages may not call it"),
        _ if upgrades(request.headers()) => Err(Refusal::invalid("upgrade-refused", "this proxy changes no protocols")),
        _ => Ok(()),
    }
}

/// A body in any coding but `chunked`, named once, is not understood, and must not go on as if it were plain.
fn check_coding(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let plain = codings.next().is_none_or(|coding| coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"));
    if plain && codings.next().is_none() {
        return Ok(());
    }
    Err(Refusal::invalid("coding-refused", "Transfer-Encoding may be `chunked`, once, and nothing else").and_close())
}

/// Whether another protocol is asked for. `h2c` is an offer that may be ignored.
fn upgrades(headers: &HeaderMap) -> bool {
    headers.get_all(UPGRADE).iter().any(|to| !to.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// The client that calls; `None` where no clients are configured.
pub fn client(headers: &HeaderMap, clients: Option<&Clients>) -> Result<Option<Arc<str>>, Refusal> {
    let Some(clients) = clients else { return Ok(None) };
    let known = credentials(headers).find_map(|token| clients.find(token));
    known.map(Some).ok_or_else(|| {
        let message =
            "unknown client: send a token of server.clients as x-api-key, Authorization: Bearer, or qcc-token";
        Refusal::new(StatusCode::UNAUTHORIZED, "authentication_error", "unknown-client", message)
    })
}

/// Every credential the request carries.
pub fn credentials(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let plain = headers.get_all(QCC_TOKEN).iter().chain(headers.get_all(X_API_KEY)).map(HeaderValue::as_bytes);
    plain.chain(headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes())))
}

/// Takes out credentials that are tokens of `clients`: they are for qcc, and no `passthrough` endpoint may see them.
pub fn remove_tokens(headers: &mut HeaderMap, clients: &Clients) {
    let is_ours = |token: &[u8]| clients.find(token).is_some();
    if headers.get_all(X_API_KEY).iter().any(|value| is_ours(value.as_bytes())) {
        headers.remove(X_API_KEY);
    }
    if headers.get_all(AUTHORIZATION).iter().filter_map(|value| bearer(value.as_bytes())).any(is_ours) {
        headers.remove(AUTHORIZATION);
    }
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:7860";

    fn request(headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method("POST").uri("/v1/messages");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).expect("a request")
    }

    fn reason(headers: &[(&str, &str)], local: &str) -> Option<&'static str> {
        let local = local.parse().expect("an address");
        check(&request(headers), local, &["qcc.internal".to_owned()]).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn a_loopback_listener_answers_only_for_names_of_this_machine() {
        for host in [
            "localhost:7860",
            "LOCALHOST",
            "127.0.0.1:7860",
            "127.8.9.1",
            "[::1]:7860",
            "qcc.internal:1",
            "a.localhost",
        ] {
            assert_eq!(reason(&[("host", host)], LOOPBACK), None, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.1", "[::2]"] {
            assert_eq!(reason(&[("host", host)], LOOPBACK), Some("host-refused"), "{host}");
            assert_eq!(reason(&[("host", host)], "192.168.1.1:7860"), None, "{host} on a network address");
        }
        for host in ["localhost/x", "localhost#x", "evil@localhost", "", "a b"] {
            assert_eq!(reason(&[("host", host)], LOOPBACK), Some("bad-host"), "{host}");
        }
        assert_eq!(reason(&[], LOOPBACK), Some("bad-host"));
        assert_eq!(reason(&[("host", "localhost"), ("host", "localhost")], LOOPBACK), Some("bad-host"));
    }

    #[test]
    fn web_pages_are_refused() {
        let host = ("host", "localhost:7860");
        for origin in ["https://evil.example", "null", "chrome-extension://abc", "http://localhost:3000", ""] {
            assert_eq!(reason(&[host, ("origin", origin)], LOOPBACK), Some("origin-refused"), "{origin}");
        }
        assert_eq!(reason(&[host, ("origin", "http://localhost:7860")], LOOPBACK), None);
        assert_eq!(reason(&[host, ("sec-fetch-site", "cross-site")], LOOPBACK), Some("origin-refused"));
        assert_eq!(reason(&[host, ("sec-fetch-site", "none"), ("sec-fetch-mode", "cors")], LOOPBACK), None);
    }

    #[test]
    fn tunnels_preflights_and_upgrades_are_refused() {
        let local = LOOPBACK.parse().expect("an address");
        for method in ["CONNECT", "OPTIONS", "TRACE"] {
            let request =
                Request::builder().method(method).uri("/").header("host", "localhost").body(()).expect("a request");
            assert_eq!(
                check(&request, local, &[]).err().map(|refusal| refusal.reason),
                Some("method-refused"),
                "{method}"
            );
        }
        assert_eq!(reason(&[("host", "localhost"), ("upgrade", "websocket")], LOOPBACK), Some("upgrade-refused"));
        assert_eq!(reason(&[("host", "localhost"), ("upgrade", "h2c")], LOOPBACK), None);
    }

    #[test]
    fn credentials_are_found_wherever_clients_put_them() {
        let request = request(&[
            ("x-api-key", "a"),
            ("authorization", "bearer b "),
            ("qcc-token", "c"),
            ("authorization", "Basic d"),
        ]);
        let found: Vec<&[u8]> = credentials(request.headers()).collect();
        assert_eq!(found, [b"c", b"a", b"b"]);
    }
}
