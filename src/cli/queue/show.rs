//! What is shown of the queue.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::SystemTime;

use super::{ListArgs, Shape, ShowArgs};
use crate::admin::view::queue::{Entry, EntryList, QueueStatus};
use crate::admin::view::{StoreStanding, StoreState};
use crate::cli::edit::Failure;
use crate::cli::place::Place;
use crate::cli::stdout;
use crate::cli::table::{room, table, wrapped};
use crate::cli::words::{ago, clean, clipped, until, when, width};
use crate::store::entries;

/// What the list tells of an entry.
const HEAD: [&str; 6] = ["ID", "STATE", "RETRIES", "REASON", "ENQUEUED", "NEXT TRY"];
/// Which of it is made to fit.
const REASON: usize = 3;
/// Columns that are left of an endpoint's name in it.
const NAME: usize = 8;
/// Before what is told of one entry.
const INDENT: &str = "             ";

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
    let QueueStatus { enqueued, retried, succeeded, failed, refused, size, bytes, by_state, .. } = status;
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
    say("refused", refused);
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
            clean(&entry.reason),
            ago(entry.enqueued, now),
            entry.next_retry.map_or_else(|| "-".to_owned(), |at| until(at, now)),
        ]
    };
    let mut rows: Vec<Vec<String>> = entries.iter().map(row).collect();
    let most = room(&HEAD, &rows, REASON);
    for row in &mut rows {
        row[REASON] = brief(&row[REASON], most);
    }
    table(&HEAD, &rows)
}

/// A reason of at most `most` columns: its endpoint's profile gives way first, then the endpoint's id, then the rest.
fn brief(reason: &str, most: usize) -> String {
    let fits = |text: &str| width(text) <= most;
    let name = reason.split(' ').find(|word| word.contains('/'));
    let Some((profile, _)) = name.and_then(|name| name.split_once('/')).filter(|_| !fits(reason)) else {
        return clipped(reason, most);
    };
    let short = reason.replacen(&format!("{profile}/"), "", 1);
    match short.split_once(": ").filter(|_| !fits(&short)) {
        Some((id, why)) => {
            let left = most.saturating_sub(width(why) + 2);
            clipped(&format!("{}: {why}", clipped(id, left.max(NAME))), most)
        }
        None => clipped(&short, most),
    }
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
        let _ = write!(text, "{name:<12} {}", wrapped(&clean(value), INDENT).trim_start());
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
        let status = if attempt.status == 0 { String::new() } else { format!(" {}", attempt.status) };
        say(
            "try",
            &format!("{} {}: {}{status} {}", when(attempt.at), attempt.endpoint, attempt.outcome, attempt.detail),
        );
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
    use std::time::Duration;

    use super::*;
    use crate::admin::view::Time;
    use crate::admin::view::queue::EntryAttempt;

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
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("  work: status 529  [31m and ..."), "{text}");
        assert!(text.contains("30h ago") && (text.contains("in 5m") || text.contains("in 4m")), "{text}");
        assert!(!details(&entry()).contains('\u{1b}'));
    }

    #[test]
    fn of_a_reason_the_endpoints_name_gives_way_first() {
        assert_eq!(brief("production/work: status 529", 28), "production/work: status 529");
        assert_eq!(brief("production/work: connection refused", 28), "work: connection refused");
        assert_eq!(brief("production/a-long-endpoint: connection refused", 28), "a-lon...: connection refused");
        assert_eq!(brief("answered to a re-send by production/work", 30), "answered to a re-send by work");
        assert_eq!(brief("production/work: the stream ended in the middle", 28), "work: the stream ended in...");
        assert_eq!(brief("the answer cannot be decoded or so", 28), "the answer cannot be deco...");
    }

    #[test]
    fn an_entry_with_long_names_fits_80_columns_and_nothing_is_lost() {
        let endpoint = format!("{}/{}", "p".repeat(63), "e".repeat(63));
        let detail = "no answer within 60 s ".repeat(5);
        let at = Time(SystemTime::UNIX_EPOCH);
        let attempt = EntryAttempt { at, endpoint: endpoint.clone(), outcome: "local".to_owned(), status: 0, detail };
        let entry = Entry { reason: format!("{endpoint}: x"), attempts: vec![attempt], ..entry() };
        let whole: String = details(&entry).split_whitespace().collect();
        assert_eq!(whole.matches(&endpoint).count(), 2, "{whole}");
        for text in [details(&entry), rows(&[entry])] {
            assert!(text.lines().all(|line| width(line) <= 80), "{text}");
        }
    }

    #[test]
    fn sizes_are_told_in_one_unit() {
        assert_eq!([size_of(5), size_of(20_480), size_of(104_857_600)], ["5 B", "20 KiB", "100 MiB"]);
    }
}
