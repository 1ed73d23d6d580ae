//! An event as others are told it: one JSON object, with `text` for people.

use std::path::Path;
use std::time::SystemTime;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::config::model::NotifyEvent;
use crate::telemetry::Event;
use crate::telemetry::redact::redact;

/// Bytes of a report that are told; `qcc validate` shows it all.
const LONGEST: usize = 16 << 10;

/// What is told.
pub(super) struct Message {
    pub(super) event: NotifyEvent,
    /// What it is about, and what is new about it: see [`super::seen`].
    pub(super) subject: String,
    pub(super) news: String,
    /// One line for people.
    pub(super) text: String,
    /// The JSON object.
    pub(super) body: Bytes,
}

impl Message {
    /// What is told of `event`, which happened to the proxy of `file`; `None`: nothing.
    pub(super) fn of(event: &Event, file: &Path, time: SystemTime) -> Option<Self> {
        let (event, subject, news, text, details) = told(event)?;
        let text = clean(&text);
        let mut body = Map::new();
        body.insert("event".to_owned(), json!(event));
        body.insert("time".to_owned(), json!(humantime::format_rfc3339_seconds(time).to_string()));
        body.insert("file".to_owned(), json!(file));
        body.insert("text".to_owned(), json!(text));
        body.extend(details.as_object().cloned().unwrap_or_default());
        let body = redact(Value::Object(body).to_string().as_bytes()).into_owned().into();
        Some(Self { event, subject, news, text, body })
    }

    /// The event's name in the file.
    pub(super) fn name(&self) -> &'static str {
        self.event.as_str()
    }
}

/// The event, what it is about, what is new about it, the line for people, and what else is told.
type Told = (NotifyEvent, String, String, String, Value);

fn told(event: &Event) -> Option<Told> {
    Some(match event {
        Event::Request(_) | Event::Reloaded { .. } => return None,
        Event::Rejected { report, errors } => {
            let errors_of = if *errors == 1 { "1 error".to_owned() } else { format!("{errors} errors") };
            let text = format!("qcc: a saved file was rejected ({errors_of}); the running one stays");
            let report = &report[..report.floor_char_boundary(LONGEST)];
            let details = json!({ "errors": errors, "report": report });
            (NotifyEvent::RejectedReload, "file".to_owned(), report.to_owned(), text, details)
        }
        Event::Switched { from, to, cause, reason } => {
            let text = format!("qcc: {from} -> {to} ({cause}): {reason}");
            let details = json!({ "from": &**from, "to": &**to, "cause": cause, "reason": reason });
            (NotifyEvent::Switch, "profile".to_owned(), to.to_string(), text, details)
        }
        Event::Ejected { endpoint, reason, duration } => {
            let seconds = duration.map(|duration| duration.as_secs());
            let time = seconds.map_or(String::new(), |seconds| format!(" for {seconds} s"));
            let text = format!("qcc: {endpoint} is out{time}: {reason}");
            about_endpoint(
                NotifyEvent::Ejection,
                endpoint,
                text,
                &[("reason", json!(reason)), ("seconds", json!(seconds))],
            )
        }
        Event::DeadKey { endpoint, reason } => {
            let text = format!("qcc: the key of {endpoint} was refused: {reason}");
            about_endpoint(NotifyEvent::DeadKey, endpoint, text, &[("reason", json!(reason))])
        }
        Event::Admitted { endpoint } => {
            about_endpoint(NotifyEvent::Recovery, endpoint, format!("qcc: {endpoint} is back"), &[])
        }
        Event::QueueDone { id } => about_entry(NotifyEvent::QueueDone, id, format!("qcc: {id} was answered"), None),
        Event::QueueDead { id, reason } => {
            about_entry(NotifyEvent::QueueDead, id, format!("qcc: {id} was given up: {reason}"), Some(reason))
        }
    })
}

fn about_endpoint(event: NotifyEvent, endpoint: &str, text: String, more: &[(&str, Value)]) -> Told {
    let mut details = Map::from_iter([("endpoint".to_owned(), json!(endpoint))]);
    details.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    (event, format!("endpoint {endpoint}"), event.as_str().to_owned(), text, Value::Object(details))
}

fn about_entry(event: NotifyEvent, id: &str, text: String, reason: Option<&String>) -> Told {
    let details = reason.map_or_else(|| json!({ "id": id }), |reason| json!({ "id": id, "reason": reason }));
    (event, format!("entry {id}"), event.as_str().to_owned(), text, details)
}

/// Without secrets.
fn clean(text: &str) -> String {
    String::from_utf8_lossy(&redact(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::config::Secret;
    use crate::telemetry::redact::register;

    fn body(event: &Event) -> String {
        let message = Message::of(event, Path::new("/srv/qcc.yaml"), UNIX_EPOCH).expect("it is told");
        String::from_utf8(message.body.to_vec()).expect("JSON is text")
    }

    #[test]
    fn every_event_is_one_object_with_a_line_for_people() {
        let endpoint = || "production/work".to_owned();
        let all = [
            Event::Switched { from: "a".into(), to: "b".into(), cause: "failover", reason: "3 failures".to_owned() },
            Event::Ejected { endpoint: endpoint(), reason: "5xx".to_owned(), duration: Some(Duration::from_secs(30)) },
            Event::DeadKey { endpoint: endpoint(), reason: "401".to_owned() },
            Event::Admitted { endpoint: endpoint() },
            Event::Rejected { report: "error: x".to_owned(), errors: 1 },
            Event::QueueDone { id: "q1".to_owned() },
            Event::QueueDead { id: "q1".to_owned(), reason: "5 retries".to_owned() },
        ];
        insta::assert_snapshot!(all.iter().map(body).collect::<Vec<_>>().join("\n"), @r##"
        {"event":"switch","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: a -> b (failover): 3 failures","from":"a","to":"b","cause":"failover","reason":"3 failures"}
        {"event":"ejection","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: production/work is out for 30 s: 5xx","endpoint":"production/work","reason":"5xx","seconds":30}
        {"event":"dead_key","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: the key of production/work was refused: 401","endpoint":"production/work","reason":"401"}
        {"event":"recovery","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: production/work is back","endpoint":"production/work"}
        {"event":"rejected_reload","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: a saved file was rejected (1 error); the running one stays","errors":1,"report":"error: x"}
        {"event":"queue_done","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: q1 was answered","id":"q1"}
        {"event":"queue_dead","time":"1970-01-01T00:00:00Z","file":"/srv/qcc.yaml","text":"qcc: q1 was given up: 5 retries","id":"q1","reason":"5 retries"}
        "##);
    }

    #[test]
    fn what_happens_all_the_time_is_not_told() {
        let reloaded = Event::Reloaded { generation: 2, changes: vec![], restart_required: vec![] };
        assert!(Message::of(&reloaded, Path::new("/"), UNIX_EPOCH).is_none());
    }

    #[test]
    fn a_key_that_an_endpoint_repeats_is_blanked() {
        register(&Secret::new("sk-canary-in-a-message"));
        let told =
            body(&Event::DeadKey { endpoint: "a/b".to_owned(), reason: "bad sk-canary-in-a-message".to_owned() });
        assert!(!told.contains("canary") && told.contains("[redacted]"), "{told}");
    }
}
