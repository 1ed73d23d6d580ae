//! The process log: set up once, changed by every reload, written without making a request wait.
//!
//! - level and format follow `log:` of the file; `QCC_LOG` (directives such as `qcc=debug,hyper=info`) wins over the level;
//! - libraries speak from `warn` up unless `QCC_LOG` says otherwise: their details can hold header values;
//! - lines go to standard error through [`super::redact`]; colour only on a terminal and without `NO_COLOR`.
//!
//! In the background they go to a file instead, which is rotated ([`LogHandle::turn_to`]).

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt, reload};

use super::file::{LogFile, Rotation, move_streams};
use super::sink::Sink;
use super::text::Lines;
use crate::config::model::{Log, LogFormat, LogLevel};

pub use super::lines::{log_events, request_line};

/// Variable whose directives win over `log.level`.
pub const FILTER_VARIABLE: &str = "QCC_LOG";

/// Sets up the log of this process; call it once, first thing. A second call leaves the first log in place.
pub fn init(log: &Log) -> LogHandle {
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (fixed, complaint) = from_environment(std::env::var(FILTER_VARIABLE).ok().as_deref());
    let Ok(sink) = Sink::new(io::stderr()) else { return LogHandle::silent() };
    let writer = sink.clone();
    let (subscriber, mut handle) = subscriber(log, fixed, colour, move || writer.clone());
    handle.sink = Some(sink);
    if tracing::subscriber::set_global_default(subscriber).is_ok()
        && let Some(complaint) = complaint
    {
        tracing::warn!("{complaint}");
    }
    handle
}

/// Changes the log while it runs. Dropping it waits until what was logged is written.
#[derive(Debug)]
pub struct LogHandle {
    /// `None` where `QCC_LOG` decides.
    filter: Option<reload::Handle<Targets, Registry>>,
    json: Arc<AtomicBool>,
    sink: Option<Sink>,
    rotation: Arc<Rotation>,
}

impl LogHandle {
    /// Takes over level and format from a reloaded file.
    pub fn apply(&self, log: &Log) {
        self.json.store(log.format == LogFormat::Json, Ordering::Relaxed);
        self.rotation.apply(log);
        if let Some(filter) = &self.filter {
            // It fails only when the subscriber is gone, and nobody logs then.
            drop(filter.reload(directives(log.level)));
        }
    }

    /// Waits until what was logged so far is written, at most a second.
    pub fn flush(&self) {
        if let Some(sink) = &self.sink {
            sink.flush();
        }
    }

    /// Logs to the file at `path` from now on; what the process itself prints stays where it is.
    pub fn turn_to(&self, path: &Path) -> io::Result<()> {
        let file = LogFile::open(path, Arc::clone(&self.rotation))?;
        self.sink.as_ref().map_or(Ok(()), |sink| sink.turn_to(file))
    }

    /// Moves standard output and error of the process to the log file at `path` too: nobody is there to read them.
    pub fn move_streams(&self, path: &Path) -> io::Result<()> {
        move_streams(path, &self.rotation)
    }

    fn silent() -> Self {
        Self { filter: None, json: Arc::default(), sink: None, rotation: Arc::default() }
    }
}

impl Drop for LogHandle {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The subscriber that writes `log`'s lines to what `writer` makes; `fixed` wins over the level.
pub(super) fn subscriber<W: Write + 'static>(
    log: &Log,
    fixed: Option<Targets>,
    colour: bool,
    writer: impl Fn() -> W + Send + Sync + 'static,
) -> (impl Subscriber + Send + Sync, LogHandle) {
    let json = Arc::new(AtomicBool::new(log.format == LogFormat::Json));
    let free = fixed.is_none();
    let (filter, handle) = reload::Layer::new(fixed.unwrap_or_else(|| directives(log.level)));
    let lines = fmt::layer().with_ansi(colour).event_format(Lines::new(Arc::clone(&json), colour)).with_writer(writer);
    let subscriber = Registry::default().with(filter).with(lines);
    let rotation = Arc::<Rotation>::default();
    rotation.apply(log);
    (subscriber, LogHandle { filter: free.then_some(handle), json, sink: None, rotation })
}

/// qcc speaks from `level` up, libraries from `warn` up.
fn directives(level: LogLevel) -> Targets {
    let own = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target("qcc", own)
}

/// The filter of the environment, or a complaint about it.
fn from_environment(value: Option<&str>) -> (Option<Targets>, Option<String>) {
    let is_blank = |value: &str| value.chars().all(|char| char == ',' || char.is_whitespace());
    let Some(value) = value.filter(|value| !is_blank(value)) else { return (None, None) };
    match targets(value) {
        Ok(targets) => (Some(targets), None),
        Err(why) => (None, Some(format!("{FILTER_VARIABLE} is ignored: {why}; write `qcc=debug` or `warn`"))),
    }
}

/// `LEVEL` or `TARGET=LEVEL`, with commas between. What is neither must not silence the log, nor let all libraries speak.
fn targets(value: &str) -> Result<Targets, String> {
    let is_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_:-".contains(&byte);
    let directives: Vec<&str> = value.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    let is_odd = |directive: &&str| {
        let name = directive.split('=').next().unwrap_or_default();
        name.is_empty() || !name.bytes().all(is_of_a_name)
    };
    match directives.iter().find(|directive| is_odd(directive)) {
        Some(odd) => Err(format!("`{odd}` names no target")),
        None => directives.join(",").parse().map_err(|error: ParseError| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;
    use crate::telemetry::capture::Buffer;
    use crate::telemetry::redact::register;

    fn log(level: LogLevel, format: LogFormat) -> Log {
        Log { level, format, ..Log::default() }
    }

    #[test]
    fn level_and_format_change_while_it_runs() {
        let buffer = Buffer::default();
        let (subscriber, handle) = subscriber(&log(LogLevel::Info, LogFormat::Text), None, false, buffer.writer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("hidden");
            tracing::info!(answer = 42, "shown");
            handle.apply(&log(LogLevel::Debug, LogFormat::Json));
            tracing::debug!(target: "hyper", "a library's detail");
            tracing::debug!(answer = 43, "also shown");
        });
        let lines = buffer.lines();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].ends_with("Z INFO shown answer=42"), "{lines:?}");
        let json: serde_json::Value = serde_json::from_str(&lines[1]).expect("one object");
        assert_eq!((&json["message"], &json["answer"]), (&"also shown".into(), &43.into()));
    }

    #[test]
    fn the_environment_wins_and_a_wrong_one_is_said() {
        let (filter, complaint) = from_environment(Some("qcc=trace"));
        assert!(filter.is_some() && complaint.is_none());
        let buffer = Buffer::default();
        let (subscriber, handle) = subscriber(&log(LogLevel::Error, LogFormat::Text), filter, false, buffer.writer());
        tracing::subscriber::with_default(subscriber, || {
            handle.apply(&log(LogLevel::Error, LogFormat::Text));
            tracing::trace!("seen");
        });
        assert_eq!(buffer.lines().len(), 1);
        let (filter, complaint) = from_environment(Some("qcc=loud,=,"));
        assert!(filter.is_none() && complaint.is_some_and(|text| text.starts_with("QCC_LOG is ignored")));
        for wrong in ["%%%", "=debug", "qcc[span]=debug", "info,qcc=a=b"] {
            assert!(matches!(from_environment(Some(wrong)), (None, Some(_))), "{wrong}");
        }
        for blank in [" ", ", ,"] {
            assert!(matches!(from_environment(Some(blank)), (None, None)), "{blank}");
        }
        let allows =
            |value, target| from_environment(Some(value)).0.expect(value).would_enable(target, &tracing::Level::DEBUG);
        assert!(allows("qcc=info, hyper=debug,", "hyper::proto") && !allows("debug,qcc=info", "qcc::proxy"));
    }

    #[test]
    fn a_secret_in_any_field_of_a_line_is_replaced_in_both_formats() {
        register(&Secret::new("sk-canary-in-a-log"));
        for format in [LogFormat::Text, LogFormat::Json] {
            let buffer = Buffer::default();
            let (subscriber, _handle) = subscriber(&log(LogLevel::Info, format), None, false, buffer.writer());
            tracing::subscriber::with_default(subscriber, || {
                let odd = "/v1/sk-canary-in-a-log?key=sk-canary-in-a-log";
                tracing::error!(path = odd, debug = ?odd, report = %odd, "said sk-canary-in-a-log");
            });
            let text = buffer.lines().join("\n");
            assert!(!text.contains("canary") && text.matches("[redacted]").count() == 7, "{text}");
        }
    }

    #[test]
    fn a_client_can_forge_neither_a_line_nor_a_colour() {
        let buffer = Buffer::default();
        let (subscriber, _handle) = subscriber(&log(LogLevel::Info, LogFormat::Text), None, true, buffer.writer());
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(model = "x\nERROR forged\u{1b}[31m", report = "one\n\u{1b}[2Jtwo", "said");
        });
        let text = buffer.lines().join("|");
        let shown = text.split_once("INFO").map(|(_, rest)| rest);
        assert_eq!(shown, Some("\u{1b}[0m said model=\"x\\nERROR forged\\u{1b}[31m\"|    one|    \\u{1b}[2Jtwo"));
    }
}
