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
        // More than fits is as long as can be; less than nothing, or no number, says nothing.
        let beyond = (seconds > 0.0).then_some(Duration::MAX);
        return Duration::try_from_secs_f64(seconds).ok().or(beyond);
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn limit(pairs: &[(&str, &str)]) -> (Option<u64>, bool) {
        let pairs = pairs.iter().map(|(name, value)| {
            let name = http::HeaderName::try_from(*name).expect("a legal name");
            (name, http::HeaderValue::from_str(value).expect("a legal value"))
        });
        let limit = announced(&pairs.collect(), SystemTime::UNIX_EPOCH + Duration::from_secs(NOW));
        (limit.wait.map(|wait| wait.as_secs()), limit.whole_key)
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        for (value, expected) in [
            ("17", Some(17)),
            (" 17 ", Some(17)),
            ("1.5", Some(1)),
            ("Tue, 14 Nov 2023 22:13:50 GMT", Some(30)),
            ("Tue, 14 Nov 2023 22:13:10 GMT", Some(0)),
            ("-3", None),
            ("NaN", None),
            ("later", None),
            ("99999999999999999999999", Some(u64::MAX)),
        ] {
            assert_eq!(limit(&[("retry-after", value)]), (expected, false), "{value}");
        }
        assert_eq!(limit(&[]), (None, false));
    }

    #[test]
    fn without_retry_after_the_latest_reset_of_an_exhausted_window_counts() {
        let windows = [
            ("anthropic-ratelimit-requests-remaining", "0"),
            ("anthropic-ratelimit-requests-reset", "2023-11-14T22:13:30Z"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2023-11-14T22:14:20Z"),
            ("anthropic-ratelimit-output-tokens-remaining", "8000"),
            ("anthropic-ratelimit-output-tokens-reset", "2023-11-14T23:13:20Z"),
        ];
        assert_eq!(limit(&windows), (Some(60), false));
        let asked = [&windows[..], &[("retry-after", "4")]].concat();
        assert_eq!(limit(&asked), (Some(4), false));
        assert_eq!(limit(&windows[4..]), (None, false));
    }

    #[test]
    fn a_unified_rejection_rests_the_whole_key_until_the_latest_rejected_window() {
        let five_hours = [
            ("anthropic-ratelimit-unified-status", "rejected"),
            ("anthropic-ratelimit-unified-reset", "1700000100"),
            ("anthropic-ratelimit-unified-5h-status", "rejected"),
            ("anthropic-ratelimit-unified-5h-reset", "1700000100"),
            ("anthropic-ratelimit-unified-7d-status", "allowed_warning"),
            ("anthropic-ratelimit-unified-7d-reset", "1700600000"),
            ("anthropic-ratelimit-unified-overage-status", "rejected"),
            ("anthropic-ratelimit-unified-overage-reset", "1709999999"),
        ];
        assert_eq!(limit(&five_hours), (Some(100), true));
        let both = [&five_hours[..4], &[five_hours[5], ("anthropic-ratelimit-unified-7d-status", "rejected")]].concat();
        assert_eq!(limit(&both), (Some(600_000), true));
        assert_eq!(limit(&five_hours[..2]), (Some(100), true), "without windows the overall reset counts");
        assert_eq!(limit(&[five_hours[0], ("retry-after", "9")]), (Some(9), true));
        assert_eq!(limit(&[("anthropic-ratelimit-unified-status", "allowed"), five_hours[1]]), (None, false));
    }

    #[test]
    fn a_rejected_window_of_a_model_family_rests_only_that_model() {
        for family in ["7d_opus", "7d_sonnet"] {
            let (status, reset) = (format!("{UNIFIED}{family}-status"), format!("{UNIFIED}{family}-reset"));
            let family = [(status.as_str(), "rejected"), (reset.as_str(), "1700005000")];
            assert_eq!(limit(&family), (Some(5000), false));
            let overall = [("anthropic-ratelimit-unified-status", "rejected"), family[0], family[1]];
            assert_eq!(limit(&overall), (Some(5000), false));
            let general = [&overall[..], &[("anthropic-ratelimit-unified-5h-status", "rejected")]].concat();
            assert_eq!(limit(&general), (Some(5000), true));
        }
    }
}
