//! What is said about an event.

use std::time::Duration;

use super::super::style::{Palette, Tone, plain};
use crate::telemetry::Event;
use crate::telemetry::event::{AttemptRecord, RequestRecord};

/// Lines of a report that are shown; `qcc validate` shows them all.
const REPORT: usize = 24;

/// The lines about `event`; none for a request that went well at its first endpoint: the table shows those.
pub(super) fn lines(event: &Event, palette: Palette) -> Vec<String> {
    let say =
        |tone, word: &str, text: &str| vec![format!("{}  {}", palette.paint(tone, &format!("{word:<8}")), plain(text))];
    match event {
        Event::Request(record) if is_failure(record) => say(Tone::Bad, "failed", &request(record)),
        Event::Request(record) if record.attempts.len() > 1 => say(Tone::Warning, "failover", &request(record)),
        Event::Request(_) => Vec::new(),
        Event::Reloaded { generation, changes, restart_required } => {
            let nothing = if changes.is_empty() && restart_required.is_empty() { ": nothing changed" } else { "" };
            let mut lines = say(Tone::Good, "reloaded", &format!("generation {generation}{nothing}"));
            lines.extend(changes.iter().map(|change| plain(change)));
            lines.extend(restart_required.iter().map(|key| format!("{} needs a restart", plain(key))));
            lines
        }
        Event::Rejected { report, errors } => {
            let mut lines = say(Tone::Bad, "rejected", &format!("{}; the running file stays", errors_of(*errors)));
            lines.extend(report.trim_end().lines().take(REPORT).map(plain));
            lines
        }
        Event::Switched { from, to, cause, reason } => {
            say(Tone::Warning, "switched", &format!("{from} -> {to} ({cause}): {reason}"))
        }
        Event::Ejected { endpoint, reason, duration } => {
            let time = duration.map_or(String::new(), |duration| format!(" for {} s", seconds(duration)));
            say(Tone::Warning, "ejected", &format!("{endpoint}{time}: {reason}"))
        }
        Event::DeadKey { endpoint, reason } => say(Tone::Bad, "dead key", &format!("{endpoint}: {reason}")),
        Event::Admitted { endpoint } => say(Tone::Good, "admitted", endpoint),
        Event::QueueDone { id } => say(Tone::Good, "queue", &format!("{id} was answered")),
        Event::QueueDead { id, reason } => say(Tone::Bad, "queue", &format!("{id} was given up: {reason}")),
    }
}

/// A request in one line: `work (server 529) -> production/personal  200  171 ms`.
pub(super) fn request(record: &RequestRecord) -> String {
    let tries: Vec<_> = record.attempts.iter().map(|tried| attempt(tried, record)).collect();
    let ended = (record.result != "ok").then(|| record.result.to_owned());
    let parts = [
        (record.path != "/v1/messages").then(|| format!("{} {}", record.method, record.path)),
        Some(if tries.is_empty() { "no endpoint".to_owned() } else { tries.join(" -> ") }),
        (record.status != 0).then(|| record.status.to_string()),
        ended,
        record.first_byte.map(|time| format!("{} ms", time.as_millis())),
    ];
    plain(&parts.into_iter().flatten().collect::<Vec<_>>().join("  "))
}

/// Who answered, as `PROFILE/ID`.
pub(super) fn served_by(record: &RequestRecord) -> Option<String> {
    Some(format!("{}/{}", record.profile.as_ref()?, record.endpoint.as_ref()?))
}

/// Whether an endpoint's answer reached the client.
pub(super) fn is_answer(record: &RequestRecord) -> bool {
    (200..400).contains(&record.status)
}

/// Whether the client got an error, or less than the whole answer. One that left is no failure.
pub(super) fn is_failure(record: &RequestRecord) -> bool {
    record.status >= 400 || !matches!(record.result, "ok" | "cancelled")
}

fn attempt(attempt: &AttemptRecord, record: &RequestRecord) -> String {
    // Beside the one that answered, its neighbours need no profile.
    let id = match (attempt.endpoint.split_once('/'), &record.profile) {
        (Some((profile, id)), Some(answered)) if profile == &**answered => id,
        _ => &attempt.endpoint,
    };
    match (attempt.outcome, attempt.status) {
        ("success", _) => attempt.endpoint.clone(),
        (outcome, 0) => format!("{id} ({outcome})"),
        (outcome, status) => format!("{id} ({outcome} {status})"),
    }
}

fn errors_of(errors: usize) -> String {
    if errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") }
}

fn seconds(duration: Duration) -> u64 {
    duration.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}
