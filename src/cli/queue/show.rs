//! What is shown of the queue.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use super::{ListArgs, Shape, ShowArgs};
use crate::admin::view::{Entry, EntryList, QueueStatus, StoreStanding, StoreState, Time};
use crate::cli::edit::Failure;
use crate::cli::place::Place;
use crate::cli::stdout;
use crate::cli::table::table;
use crate::cli::words::{ago, clean, clipped, until, when};
use crate::store::entries;

/// Characters of a reason in the list, which is to fit 80 columns.
const REASON: usize = 24;

/// What has happened, and what is there now.
pub(super) fn status(place: &Place, shape: Shape) -> Result<ExitCode, Failure> {
    let kept = place.read(entries::statistics)?.unwrap_or_default();
    // A proxy that does not answer has no line that could be shown.
    let asked = place.proxy().and_then(|proxy| proxy.get::<QueueStatus>("/v1/queue")).ok();
    let status = asked.unwrap_or_else(|| QueueStatus::of(&kept));
    let text = if shape.json { format!("{:#}\n", serde_json::json!(status)) } else { words(&status) };
    Ok(stdout::print(&text, ExitCode::SUCCESS))
}

fn words(status: &QueueStatus) -> String {
    let QueueStatus { enqueued, retried, succeeded, failed, size, bytes, by_state, .. } = status;
    let line = match &status.line {
        Some(line) if line.length == 0 => "nobody waits for an endpoint".to_owned(),
        Some(line) => format!("{} wait for an endpoint, for up to {} s", line.length, line.longest_wait_ms / 1000),
        None => "no proxy is running".to_owned(),
    };
    let mut text = String::new();
    let mut say = |name: &str, value: &dyn std::fmt::Display| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<12} {value}");
    };
    say("enqueued", enqueued);
    say("retried", retried);
    say("succeeded", succeeded);
    say("failed", failed);
    say("size", &format!("{size} entries, {}", size_of(*bytes)));
    let counts = [
        ("waiting", by_state.waiting),
        ("running", by_state.running),
        ("done", by_state.done),
        ("dead", by_state.dead),
    ];
    let counts: Vec<_> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
    say("by state", &counts.join(", "));
    say("in line", &line);
    if let Some(refused) = status.refused.filter(|refused| *refused > 0) {
        say("refused", &format!("{refused} since the proxy started"));
    }
    if let Some(store) = &status.store {
        say("stored", &stored(store));
    }
    say("oldest", &status.oldest.map_or_else(|| "-".to_owned(), when));
    say("last update", &status.last_update.map_or_else(|| "never".to_owned(), when));
    text
}

/// Whether entries last.
fn stored(store: &StoreState) -> String {
    let why = store.reason.as_deref().unwrap_or("it cannot be written");
    match store.standing {
        StoreStanding::Good => "on disk".to_owned(),
        StoreStanding::Memory | StoreStanding::ReadOnly => {
            format!("read-only, nothing is taken in or tried: {}", clean(why))
        }
    }
}

/// The entries, as the proxy has them if one runs.
pub(super) fn list(place: &Place, args: &ListArgs) -> Result<ExitCode, Failure> {
    let (state, count) = (args.state, args.count);
    let which = state.map_or_else(String::new, |state| format!("&state={state}"));
    let path = format!("/v1/queue/entries?count={count}{which}");
    let asked = place.proxy().and_then(|proxy| proxy.get::<EntryList>(&path)).ok();
    let entries = if let Some(EntryList { entries }) = asked {
        entries
    } else {
        let found = place.read(|view| entries::list(view, state, count))?.unwrap_or_default();
        found.into_iter().map(Entry::from).collect()
    };
    let text =
        if args.shape.json { format!("{:#}\n", serde_json::json!(EntryList { entries })) } else { rows(&entries) };
    Ok(stdout::print(&text, ExitCode::SUCCESS))
}

fn rows(entries: &[Entry]) -> String {
    let now = SystemTime::now();
    let row = |entry: &Entry| {
        vec![
            entry.id.clone(),
            entry.state.clone(),
            entry.retries.to_string(),
            clipped(&entry.reason, REASON),
            ago(entry.enqueued, now),
            entry.next_retry.map_or_else(|| "-".to_owned(), |at| until(at, now)),
        ]
    };
    let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    table(&["ID", "STATE", "RETRIES", "REASON", "ENQUEUED", "NEXT RETRY"], &rows)
}

/// One entry.
pub(super) fn one(place: &Place, args: &ShowArgs) -> Result<ExitCode, Failure> {
    let id = args.id.as_str();
    let unknown = || Failure::Refused(format!("no entry is called `{id}`; `qcc queue list` shows them"));
    let entry = place.read(|view| entries::get(view, id))?.flatten().ok_or_else(unknown)?;
    if args.body {
        let request = place.read(|view| entries::request(view, id))?.flatten();
        let gone = || Failure::Refused(format!("`{id}` is done: its request is no longer kept"));
        return raw(&request.ok_or_else(gone)?.body);
    }
    if args.answer {
        let answer = place.read(|view| entries::answer(view, id))?.flatten();
        return raw(&answer.ok_or_else(|| Failure::Refused(format!("no answer to `{id}` is kept")))?.body);
    }
    let entry = Entry::from(entry);
    let text = if args.shape.json { format!("{:#}\n", serde_json::json!(entry)) } else { details(&entry) };
    Ok(stdout::print(&text, ExitCode::SUCCESS))
}

fn details(entry: &Entry) -> String {
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<12} {}", clean(value));
    };
    let or_none = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    say("id", &entry.id);
    say("state", &entry.state);
    say("reason", &entry.reason);
    say("retries", &entry.retries.to_string());
    say("enqueued", &when(entry.enqueued));
    say("updated", &when(entry.updated));
    say("next retry", &entry.next_retry.map_or_else(|| "-".to_owned(), when));
    say("client", &or_none(&entry.client));
    say("session", &or_none(&entry.session));
    say("model", &or_none(&entry.model));
    say("stream", if entry.stream { "yes" } else { "no" });
    say("size", &size_of(entry.bytes));
    let answer = match (entry.status, entry.handed) {
        (None, _) => "-".to_owned(),
        (Some(status), false) => format!("status {status}, not handed out yet"),
        (Some(status), true) => format!("status {status}, handed out"),
    };
    say("answer", &answer);
    for attempt in &entry.attempts {
        let at = Time(SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(attempt.at).unwrap_or_default()));
        let status = if attempt.status == 0 { String::new() } else { format!(" {}", attempt.status) };
        say("try", &format!("{} {}: {}{status} {}", when(at), attempt.endpoint, attempt.outcome, attempt.detail));
    }
    text
}

/// Bytes as they are.
fn raw(bytes: &[u8]) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::CouldNot(error.to_string())),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn size_of(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            id: "abcdefghjk".to_owned(),
            state: "waiting".to_owned(),
            retries: 1000,
            reason: "production/work: status 529 \u{1b}[31m and more".to_owned(),
            enqueued: Time(SystemTime::now() - Duration::from_hours(30)),
            updated: Time(SystemTime::UNIX_EPOCH),
            next_retry: Some(Time(SystemTime::now() + Duration::from_secs(301))),
            client: None,
            session: Some("s".to_owned()),
            model: None,
            stream: true,
            bytes: 20_480,
            status: None,
            handed: false,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn the_list_fits_80_columns_and_shows_no_control_characters() {
        let text = rows(&[entry()]);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("production/work: stat..."), "{text}");
        assert!(text.contains("30h ago") && (text.contains("in 5m") || text.contains("in 4m")), "{text}");
        assert!(!details(&entry()).contains('\u{1b}'));
    }

    #[test]
    fn sizes_are_told_in_one_unit() {
        assert_eq!([size_of(5), size_of(20_480), size_of(104_857_600)], ["5 B", "20 KiB", "100 MiB"]);
    }
}
