//! Rules about single endpoints. No message quotes a URL whole: it may carry userinfo.

use std::collections::HashSet;

use http::{HeaderName, Uri};

use super::scope::{Endpoint, Scope};
use super::server::listeners;
use super::url::{Parts, split};
use super::{Finding, Place};
use crate::config::model::Auth;

pub(super) fn base_urls_are_sane(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let at = || place.key("base_url");
        let Some(parts) = split(&fields.base_url) else {
            let message = "`base_url` is not a URL";
            let help = "write it with its scheme, for example `https://api.anthropic.com`";
            findings.push(Finding::error("base-url-invalid", &at(), message).help(help));
            continue;
        };
        findings.extend(complaint(&parts, &fields.base_url, at));
    }
}

/// The first thing wrong with a URL that has a scheme.
fn complaint(parts: &Parts<'_>, url: &str, at: impl Fn() -> Place) -> Option<Finding> {
    if !parts.is("https") && !parts.is("http") {
        let message = format!("`{}` is not a scheme qcc speaks", parts.scheme.escape_debug());
        return Some(Finding::error("base-url-scheme", &at(), message).help("use https, or http to this machine"));
    }
    if parts.userinfo {
        let message = "`base_url` carries a user or password";
        return Some(Finding::error("base-url-userinfo", &at(), message).help("the credential belongs into `api_key`"));
    }
    if parts.host.is_empty() || parts.host == "[]" {
        return Some(Finding::error("base-url-host", &at(), "`base_url` names no host"));
    }
    if parts.query {
        let message = "`base_url` carries a query or a fragment";
        return Some(Finding::error("base-url-query", &at(), message).help("the client's own query is appended to it"));
    }
    if parts.address().is_none() || url.parse::<Uri>().is_err() {
        return Some(
            Finding::error("base-url-invalid", &at(), "`base_url` is not a URL").help("check the host and the port"),
        );
    }
    tail(parts, at)
}

fn tail(parts: &Parts<'_>, at: impl Fn() -> Place) -> Option<Finding> {
    let path = parts.path.trim_end_matches('/');
    let tail = ["/v1/messages", "/v1"].into_iter().find(|tail| path.ends_with(tail))?;
    let port = parts.port.map(|port| format!(":{port}")).unwrap_or_default();
    let right = format!("{}://{}{port}{}", parts.scheme, parts.host, path.strip_suffix(tail)?);
    let message = format!("clients append `/v1/messages` themselves, so requests would go to `{path}/v1/messages`");
    Some(Finding::warning("base-url-v1", &at(), message).help(format!("write `{right}`")))
}

pub(super) fn base_urls_are_not_the_proxy_itself(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let listeners = listeners(scope);
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let Some((host, port)) = split(&fields.base_url).and_then(|parts| parts.address()) else { continue };
        let named = scope.config.server.hosts.iter().any(|name| super::address::Host::parse(name) == host);
        let hit = listeners.iter().find(|l| l.port == port && port != 0 && (named || host.reaches(&l.host)));
        if let Some(listener) = hit {
            let message =
                format!("this is the proxy itself (`{}:{}`): requests would go round in a circle", listener.host, port);
            findings.push(Finding::error("base-url-self", &place.key("base_url"), message));
        }
    }
}

pub(super) fn plaintext_is_allowed(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let Some(parts) = split(&fields.base_url).filter(|parts| parts.is("http")) else { continue };
        let Some((host, _)) = parts.address().filter(|(host, _)| !host.is_loopback()) else { continue };
        let place = place.key("base_url");
        if fields.allow_plaintext {
            let message = format!("key and prompts travel to `{host}` in clear");
            findings.push(Finding::warning("plaintext", &place, message));
        } else {
            let message = format!("key and prompts would travel to `{host}` in clear");
            let help = "use https, or say `allow_plaintext: true`";
            findings.push(Finding::error("plaintext", &place, message).help(help));
        }
    }
}

pub(super) fn keys_fit_auth(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { id, fields, place } in scope.endpoints() {
        match (fields.auth, &fields.api_key) {
            (Auth::Passthrough, Some(_)) => {
                let message = "with `auth: passthrough` the client's own credential is sent, never this one";
                findings
                    .push(Finding::warning("unused-key", &place.key("api_key"), message).at_key().help("remove it"));
            }
            (Auth::XApiKey | Auth::Bearer, None) if scope.intact(place) => {
                let message = format!("the endpoint `{id}` needs an `api_key`");
                let help = "for example `api_key: { env: MY_KEY }`; or `auth: passthrough` to send the client's own";
                findings.push(Finding::error("key-missing", place, message).help(help));
            }
            _ => {}
        }
    }
}

/// Credentials, framing and connection headers: qcc sets or removes them itself.
const RESERVED: [&str; 17] = [
    "authorization",
    "x-api-key",
    "proxy-authorization",
    "qcc-token",
    "cookie",
    "host",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

pub(super) fn headers_are_harmless(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let mut names = HashSet::new();
        for (name, value) in &fields.headers {
            let place = place.key("headers").key(name);
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                let message = format!("`{}` cannot be the name of a header", name.escape_debug());
                findings.push(Finding::error("header-name", &place, message).at_key());
                continue;
            };
            findings.extend(header(&parsed, value, &place));
            if !names.insert(parsed) {
                findings.push(Finding::error("duplicate-header", &place, format!("`{name}` is given twice")).at_key());
            }
        }
    }
}

/// Whether `text` can be the value of a header: visible ASCII, spaces and tabs.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}

fn header(name: &HeaderName, value: &str, place: &Place) -> Option<Finding> {
    if RESERVED.contains(&name.as_str()) {
        let message = format!("`{name}` is set by qcc itself");
        return Some(
            Finding::error("header-reserved", place, message).at_key().help("a credential belongs into `api_key`"),
        );
    }
    if !is_plain(value) {
        let message = format!("the value of `{name}` holds characters that cannot be sent in a header");
        return Some(Finding::error("header-value", place, message).help("only visible ASCII characters and spaces"));
    }
    None
}

pub(super) fn model_patterns_end_in_stars(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { fields, place, .. } in scope.endpoints() {
        for (pattern, model) in &fields.models {
            let place = place.key("models").key(pattern);
            if pattern.is_empty() || pattern.strip_suffix('*').unwrap_or(pattern).contains('*') {
                let message = format!("`{}` is not a model pattern", pattern.escape_debug());
                let help = "write an exact name, or a prefix with one `*` at its end";
                findings.push(Finding::error("model-pattern", &place, message).at_key().help(help));
            }
            if model.is_empty() || model.contains('*') {
                let message = format!("`{}` must be sent as one exact model name", pattern.escape_debug());
                findings.push(Finding::error("model-name", &place, message));
            }
        }
    }
}

pub(super) fn proxies_parse(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let Some(proxy) = fields.proxy.as_deref().filter(|proxy| *proxy != "none") else { continue };
        let place = place.key("proxy");
        let parts = split(proxy);
        let sound = parts.as_ref().is_some_and(|parts| {
            let bare = matches!(parts.path, "" | "/") && !parts.query;
            bare && !parts.host.is_empty() && parts.address().is_some() && proxy.parse::<Uri>().is_ok()
        });
        if !sound {
            let help = "write `http://HOST:PORT`, `socks5://HOST:PORT` or `none`";
            findings.push(Finding::error("proxy-invalid", &place, "`proxy` is not the URL of a proxy").help(help));
        } else if parts.is_some_and(|parts| parts.userinfo) {
            let message = "the proxy's user and password stand in the file, in clear";
            findings.push(Finding::warning("literal-secret", &place, message));
        }
    }
}
