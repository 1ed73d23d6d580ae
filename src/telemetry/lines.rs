//! What the log says of a request and of everything else that happens.
//!
//! Requests are logged by whoever ends them ([`request_line`]), so none is lost when a listener is slow; the rarer events
//! are heard by one task ([`log_events`]).

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing::Level;

use super::event::{AttemptRecord, Event, Events, RequestRecord};

/// Longest part of a client's text that is logged, in characters.
const LONGEST: usize = 200;

/// Logs one line about a finished request: level info, target `qcc::request`, durations in milliseconds.
pub fn request_line(record: &RequestRecord) {
    if !tracing::enabled!(target: "qcc::request", Level::INFO) {
        return;
    }
    let tokens = record.tokens;
    tracing::info!(
        target: "qcc::request",
        client = record.client.as_deref(),
        method = clipped(&record.method),
        path = clipped(&record.path),
        model = record.model.as_deref().map(clipped),
        stream = record.stream,
        status = record.status,
        result = record.result,
        endpoint = endpoint(record),
        attempts = attempts(record),
        ttfb_ms = record.first_byte.map(millis),
        total_ms = millis(record.total),
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        tokens_in = some(tokens.input),
        tokens_out = some(tokens.output),
        cache_read = some(tokens.cache_read),
        cache_write = some(tokens.cache_write),
        "request"
    );
    record.attempts.iter().filter(|attempt| attempt.outcome != "success").for_each(attempt_line);
}

/// Logs the events told from now on, except requests, until their place is gone. Run it as a task of its own.
pub fn log_events(events: Events) -> impl Future<Output = ()> + Send + 'static {
    let heard = events.listen_but_requests();
    // Kept, it would keep the place alive, and the task would never end.
    drop(events);
    log_heard(heard)
}

async fn log_heard(mut heard: Receiver<Arc<Event>>) {
    loop {
        match heard.recv().await {
            Ok(event) => event_line(&event),
            Err(RecvError::Lagged(lost)) => tracing::warn!(lost, "events went by faster than they could be logged"),
            Err(RecvError::Closed) => return,
        }
    }
}

fn event_line(event: &Event) {
    match event {
        Event::Request(_) => {}
        Event::Reloaded { generation, changes, restart_required } => reloaded(*generation, changes, restart_required),
        Event::Rejected { report, errors } => {
            tracing::error!(errors, report, "rejected; the running file stays");
        }
        Event::Switched { from, to, cause, reason } => {
            tracing::warn!(from = &**from, to = &**to, cause, reason, "switched");
        }
        Event::Ejected { endpoint, reason, duration } => {
            tracing::warn!(endpoint, reason, for_ms = duration.map(millis), "ejected");
        }
        Event::DeadKey { endpoint, reason } => tracing::warn!(endpoint, reason, "dead_key"),
        Event::Admitted { endpoint } => tracing::info!(endpoint, "admitted"),
        Event::QueueDone { id } => tracing::info!(id, "queue_done"),
        Event::QueueDead { id, reason } => tracing::warn!(id, reason, "queue_dead"),
    }
}

fn reloaded(generation: u64, changes: &[String], restart_required: &[String]) {
    let report = (!changes.is_empty()).then(|| changes.join("\n"));
    tracing::info!(generation, report, "reloaded");
    if !restart_required.is_empty() {
        tracing::warn!(generation, keys = restart_required.join(" "), "restart_required");
    }
}

/// Who answered, as `PROFILE/ID`.
fn endpoint(record: &RequestRecord) -> Option<String> {
    Some([record.profile.as_deref()?, "/", record.endpoint.as_deref()?].concat())
}

/// `work:server/529 -> glm:success`; the profile is named only where it is not the one that answered.
fn attempts(record: &RequestRecord) -> Option<String> {
    let mut text = String::new();
    for attempt in &record.attempts {
        text.push_str(if text.is_empty() { "" } else { " -> " });
        let id = match (attempt.endpoint.split_once('/'), &record.profile) {
            (Some((profile, id)), Some(answered)) if profile == &**answered => id,
            _ => &attempt.endpoint,
        };
        text.extend([id, ":", attempt.outcome]);
        if attempt.outcome != "success" && attempt.status != 0 {
            text.extend(["/", itoa::Buffer::new().format(attempt.status)]);
        }
    }
    (!text.is_empty()).then_some(text)
}

fn attempt_line(attempt: &AttemptRecord) {
    tracing::debug!(
        target: "qcc::request",
        endpoint = attempt.endpoint,
        outcome = attempt.outcome,
        status = attempt.status,
        took_ms = millis(attempt.took),
        detail = clipped(&attempt.detail),
        "attempt"
    );
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn some(count: u64) -> Option<u64> {
    (count > 0).then_some(count)
}

fn clipped(text: &str) -> &str {
    if text.len() <= LONGEST {
        return text;
    }
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Log, LogLevel};
    use crate::telemetry::capture::Buffer;
    use crate::telemetry::event::Tokens;
    use crate::telemetry::log::subscriber;

    /// What `say` logs at debug, without the times.
    fn logged(say: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let log = Log { level: LogLevel::Debug, ..Log::default() };
        let (subscriber, _handle) = subscriber(&log, None, false, buffer.writer());
        tracing::subscriber::with_default(subscriber, say);
        let untimed = |line: String| line.split_once("Z ").map_or(line.clone(), |(_, rest)| rest.to_owned());
        buffer.lines().into_iter().map(untimed).collect::<Vec<_>>().join("\n")
    }

    fn attempt(endpoint: &str, outcome: &'static str, status: u16, detail: &str) -> AttemptRecord {
        let took = Duration::from_millis(7);
        AttemptRecord { endpoint: endpoint.to_owned(), outcome, status, detail: detail.to_owned(), took }
    }

    fn record() -> RequestRecord {
        RequestRecord {
            client: Some("alice".into()),
            method: "POST".to_owned(),
            path: "/v1/messages".to_owned(),
            model: Some("claude-sonnet-4-5".to_owned()),
            stream: true,
            profile: Some("production".into()),
            endpoint: Some("glm".into()),
            attempts: vec![
                attempt("production/work", "server", 529, "overloaded"),
                attempt("backup/other", "local", 0, "connection refused"),
                attempt("production/glm", "success", 200, ""),
            ],
            status: 200,
            result: "ok",
            first_byte: Some(Duration::from_micros(12_900)),
            total: Duration::from_millis(1504),
            bytes_in: 812,
            bytes_out: 2048,
            tokens: Tokens { input: 20, output: 31, cache_read: 0, cache_write: 0 },
        }
    }

    #[test]
    fn a_request_is_one_greppable_line() {
        insta::assert_snapshot!(logged(|| request_line(&record())), @r#"
        INFO request client=alice method=POST path=/v1/messages model=claude-sonnet-4-5 stream=true status=200 result=ok endpoint=production/glm attempts="work:server/529 -> backup/other:local -> glm:success" ttfb_ms=12 total_ms=1504 bytes_in=812 bytes_out=2048 tokens_in=20 tokens_out=31
        DEBUG attempt endpoint=production/work outcome=server status=529 took_ms=7 detail=overloaded
        DEBUG attempt endpoint=backup/other outcome=local status=0 took_ms=7 detail="connection refused"
        "#);
    }

    #[test]
    fn what_is_not_known_is_not_shown_and_what_a_client_sends_is_clipped_and_escaped() {
        let odd = RequestRecord {
            method: "GET".to_owned(),
            path: format!("/{}", "x".repeat(1000)),
            model: Some("a\r\nb \"c\"".to_owned()),
            result: "cancelled",
            ..RequestRecord::default()
        };
        let line = logged(|| request_line(&odd)).replace(&"x".repeat(LONGEST - 1), "XXX");
        insta::assert_snapshot!(line, @r#"INFO request method=GET path=/XXX model="a\r\nb \"c\"" stream=false status=0 result=cancelled total_ms=0 bytes_in=0 bytes_out=0"#);
    }

    #[tokio::test]
    async fn other_events_are_lines_with_their_reports_below() {
        let events = Events::new();
        let task = log_events(events.clone());
        for event in [
            Event::Reloaded { generation: 2, changes: vec![], restart_required: vec!["server.listen".to_owned()] },
            Event::Reloaded {
                generation: 3,
                changes: vec!["production/work: weight 3 -> 1".to_owned(), "backup/x: removed".to_owned()],
                restart_required: vec![],
            },
            Event::Rejected { report: "error[type]: no\n --> qcc.yaml:3:7\n".to_owned(), errors: 1 },
            Event::Switched {
                from: "production".into(),
                to: "backup".into(),
                cause: "failover",
                reason: "3 requests in a row were not served".to_owned(),
            },
            Event::Ejected {
                endpoint: "production/work".to_owned(),
                reason: "3 failures in a row".to_owned(),
                duration: Some(Duration::from_secs(31)),
            },
            Event::Admitted { endpoint: "production/work".to_owned() },
            Event::Request(Box::default()),
        ] {
            events.tell(event);
        }
        drop(events);
        let buffer = Buffer::default();
        let (subscriber, _handle) = subscriber(&Log::default(), None, false, buffer.writer());
        let guard = tracing::subscriber::set_default(subscriber);
        task.await;
        drop(guard);
        let untimed = |line: String| line.split_once("Z ").map_or(line.clone(), |(_, rest)| rest.to_owned());
        let text = buffer.lines().into_iter().map(untimed).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(text, @r#"
        INFO reloaded generation=2
        WARN restart_required generation=2 keys=server.listen
        INFO reloaded generation=3
            production/work: weight 3 -> 1
            backup/x: removed
        ERROR rejected; the running file stays errors=1
            error[type]: no
             --> qcc.yaml:3:7
        WARN switched from=production to=backup cause=failover reason="3 requests in a row were not served"
        WARN ejected endpoint=production/work reason="3 failures in a row" for_ms=31000
        INFO admitted endpoint=production/work
        "#);
    }
}
