//! Texts of `qcc.yaml`. Checks and queue are off, so that upstreams see the test's requests and nothing else.

/// The keys every spawned proxy finds in its environment: `KEY_A` to `KEY_H`.
pub(crate) const KEYS: &str = "ABCDEFGH";

/// What all those keys start with, and what must never be seen outside an upstream.
pub(crate) const CANARY: &str = "sk-canary-";

/// The value of the key of endpoint `id`.
pub(crate) fn key(id: &str) -> String {
    format!("{CANARY}{}", id.to_lowercase())
}

/// A file with these profiles.
pub(crate) fn file(profiles: &[String]) -> String {
    with("", profiles)
}

/// A file with these profiles and further top-level text.
pub(crate) fn with(more: &str, profiles: &[String]) -> String {
    with_server("", more, profiles)
}

/// A file with further keys of `server` (in flow style) and further top-level text.
pub(crate) fn with_server(server: &str, more: &str, profiles: &[String]) -> String {
    let separator = if server.is_empty() { "" } else { ", " };
    let failover = if more.contains("failover:") { "" } else { "failover: { auto_recovery: false }\n" };
    let health = if more.contains("health:") { "" } else { "health: { enabled: false }\n" };
    let queue = if more.contains("queue:") { "" } else { "queue: { enabled: false, hold: 0s }\n" };
    format!(
        "version: 1\nserver: {{ listen: \"127.0.0.1:0\"{separator}{server} }}\n{health}{queue}{failover}{more}\nprofiles:\n{}",
        profiles.concat()
    )
}

/// A profile with further keys (in flow style) and these endpoints.
pub(crate) fn profile(name: &str, keys: &str, endpoints: &[String]) -> String {
    let keys: Vec<_> =
        keys.split(';').filter(|key| !key.is_empty()).map(|key| format!("    {}\n", key.trim())).collect();
    format!("  {name}:\n{}    endpoints:\n{}", keys.concat(), endpoints.concat())
}

/// An endpoint whose key is `KEY_` and the capital first letter of its id, with further keys (in flow style).
pub(crate) fn endpoint(id: &str, url: &str, keys: &str) -> String {
    let separator = if keys.is_empty() { "" } else { ", " };
    let letter = id.chars().next().map(|c| c.to_ascii_uppercase()).expect("an id is not empty");
    format!("      - {{ id: {id}, base_url: \"{url}\", api_key: {{ env: KEY_{letter} }}{separator}{keys} }}\n")
}

/// One primary profile `production` that tries these addresses in this order, as endpoints `a`, `b`, `c`, ...
pub(crate) fn in_order<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> String {
    production("strategy: priority", "", urls)
}

/// One primary profile `production` over these addresses, with further keys of the profile and of every endpoint.
pub(crate) fn production<U: AsRef<str>>(profile_keys: &str, keys: &str, urls: impl IntoIterator<Item = U>) -> String {
    let endpoints: Vec<_> =
        urls.into_iter().zip('a'..).map(|(url, id)| endpoint(&id.to_string(), url.as_ref(), keys)).collect();
    profile("production", &format!("tier: primary;{profile_keys}"), &endpoints)
}
