//! Addresses as other tools write them.

use http::Uri;
use http::uri::Authority;

use crate::config::model::Auth;

/// Where requests go when nothing says otherwise.
pub const ANTHROPIC: &str = "https://api.anthropic.com";
/// The port qcc listens on unless told otherwise.
const PORT: u16 = 7860;

/// `url` as a `base_url`: without a final slash, `/v1` or `/v1/messages`. The reason of a refusal does not repeat it,
/// because a key may be in it.
pub fn base_url(url: &str) -> Result<String, &'static str> {
    let parsed: Uri = url.parse().map_err(|_| "its address is not a URL")?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        return Err("its address is not a URL");
    };
    if authority.as_str().contains('@') || parsed.query().is_some() || url.contains('#') {
        return Err("its address has a user name, a query or a fragment");
    }
    if scheme == "https" || (scheme == "http" && is_loopback(authority)) {
        return Ok(plain(url).to_owned());
    }
    Err("its address is not https; add it by hand if it has to be, see `allow_plaintext`")
}

/// What clients say again at the end of their paths is not part of a `base_url`.
fn plain(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/v1/messages").or_else(|| url.strip_suffix("/v1")).unwrap_or(url);
    url.trim_end_matches('/')
}

/// Whether `authority` is this machine by a loopback name.
pub fn is_loopback(authority: &Authority) -> bool {
    let host = authority.host().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether `url` is qcc's own usual address.
pub fn is_qcc(url: &str) -> bool {
    let authority = url.parse::<Uri>().ok().and_then(|uri| uri.authority().cloned());
    authority.is_some_and(|authority| is_loopback(&authority) && authority.port_u16() == Some(PORT))
}

/// An endpoint's id: its host, without what most hosts begin with.
pub fn label(base_url: &str) -> String {
    let uri = base_url.parse::<Uri>().ok();
    let host = uri.as_ref().and_then(Uri::host).unwrap_or("endpoint").trim_matches(['[', ']']);
    let host = host.strip_prefix("api.").unwrap_or(host);
    host.strip_suffix("anthropic.com").map_or(host, |_| "anthropic").to_owned()
}

/// The header that the endpoint at `base_url` reads, where the tool sent the key in both.
pub(super) fn usual_auth(base_url: &str) -> Auth {
    let keyed = ["https://api.anthropic.com", "https://aihubmix.com"];
    if keyed.iter().any(|known| base_url.starts_with(known)) { Auth::XApiKey } else { Auth::Bearer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_without_what_clients_add() {
        for (url, expected) in [
            ("https://api.anthropic.com", "https://api.anthropic.com"),
            ("https://api.z.ai/api/anthropic/", "https://api.z.ai/api/anthropic"),
            ("https://r.example/v1/messages", "https://r.example"),
            ("https://r.example/a/v1/", "https://r.example/a"),
            ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(base_url(url).as_deref(), Ok(expected), "{url}");
        }
    }

    #[test]
    fn an_address_that_cannot_be_taken_is_not_repeated() {
        for url in ["relay", "http://relay.example", "https://u:canary@r.example", "https://r.example?k=canary", ""] {
            let why = base_url(url).expect_err(url);
            assert!(!why.contains("canary") && why.starts_with("its address"), "{url}: {why}");
        }
    }
}
