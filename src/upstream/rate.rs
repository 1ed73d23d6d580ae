//! Waits that an upstream announces in its headers.
//!
//! Three families exist: `retry-after`; the windows of API keys, whose resets are points of time in RFC 3339; and the
//! `unified` windows of subscription accounts, whose resets are epoch seconds and some of which concern only one family
//! of models.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

use super::outcome::RateLimit;

const UNIFIED: &str = "anthropic-ratelimit-unified-";
const WINDOWS: [&str; 4] = ["requests", "tokens", "input-tokens", "output-tokens"];

/// What a 429 announces. A unified rejection tells the wait and its scope; without one `retry-after` tells the wait,
/// else the latest reset among the exhausted windows.
pub(super) fn announced(headers: &HeaderMap, now: SystemTime) -> RateLimit {
    let asked = retry_after(headers, now);
    if let Some(unified) = unified(headers, now) {
        return RateLimit { wait: unified.wait.max(asked), ..unified };
    }
    RateLimit { wait: asked.or_else(|| exhausted(headers, now)), whole_key: false }
}

/// `retry-after`, in seconds or as an HTTP date; a date that has passed is a wait of zero.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    httpdate::parse_http_date(text).ok().map(|at| until(at, now))
}

/// The latest reset among the rejected windows of a subscription account, and whether they concern every model.
/// `None` if nothing is rejected.
fn unified(headers: &HeaderMap, now: SystemTime) -> Option<RateLimit> {
    let rejected: Vec<&str> = headers.keys().filter_map(|name| rejected_window(name.as_str(), headers)).collect();
    let status = text(headers, &format!("{UNIFIED}status")) == Some("rejected");
    if rejected.is_empty() && !status {
        return None;
    }
    let latest = rejected.iter().filter_map(|window| epoch(headers, &format!("{UNIFIED}{window}-reset"))).max();
    let latest = latest.or_else(|| epoch(headers, &format!("{UNIFIED}reset")));
    // A window like `7d_opus` is about one family of models, whatever the overall status of this answer says.
    let families_only = !rejected.is_empty() && rejected.iter().all(|window| window.contains('_'));
    Some(RateLimit { wait: latest.map(|at| until(at, now)), whole_key: status && !families_only })
}

/// The window that the header `name` calls rejected. Windows start with their length; `overage-status` is not one.
fn rejected_window<'a>(name: &'a str, headers: &HeaderMap) -> Option<&'a str> {
    let window = name.strip_prefix(UNIFIED)?.strip_suffix("-status")?;
    let is_window = window.starts_with(|c: char| c.is_ascii_digit());
    (is_window && text(headers, name) == Some("rejected")).then_some(window)
}

/// The latest reset among the windows of an API key that have nothing left.
fn exhausted(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let empty = |window: &&str| text(headers, &format!("anthropic-ratelimit-{window}-remaining")) == Some("0");
    let reset = |window: &str| {
        let at = text(headers, &format!("anthropic-ratelimit-{window}-reset"))?;
        humantime::parse_rfc3339(at).ok().map(|at| until(at, now))
    };
    WINDOWS.into_iter().filter(empty).filter_map(reset).max()
}

fn epoch(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(text(headers, name)?.parse().ok()?))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn until(at: SystemTime, now: SystemTime) -> Duration {
    at.duration_since(now).unwrap_or_default()
}
