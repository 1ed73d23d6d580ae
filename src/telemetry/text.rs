//! How a log line looks: `2026-11-23T19:00:00.123Z INFO request method=POST path=/v1/messages status=200`.
//!
//! - a line is one line: control characters of any value are escaped, so no client can forge a line or a colour;
//! - values are quoted only where they hold a space, a quote, `=` or a backslash, so `grep status=529` works;
//! - the field `report` is the exception: it is shown below its line, indented, line by line.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use anstyle::AnsiColor;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Room for the fields of a request's line.
const USUAL_LINE: usize = 320;

/// The two formats behind one switch, so that a reload changes it between two lines.
pub(super) struct Lines {
    json: Arc<AtomicBool>,
    colour: bool,
    as_json: Format<Json>,
}

impl Lines {
    /// Lines in JSON while `json` is set, else in text, coloured if `colour`.
    pub(super) fn new(json: Arc<AtomicBool>, colour: bool) -> Self {
        let as_json = Format::default().json().flatten_event(true).with_current_span(false).with_span_list(false);
        Self { json, colour, as_json }
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.json.load(Ordering::Relaxed) {
            return self.as_json.format_event(context, out, event);
        }
        write!(out, "{}", humantime::format_rfc3339_millis(SystemTime::now()))?;
        let (level, hue) = shown(*event.metadata().level());
        if self.colour {
            let style = hue.on_default();
            write!(out, " {style}{level}{style:#} ")?;
        } else {
            [" ", level, " "].into_iter().try_for_each(|part| out.write_str(part))?;
        }
        let mut fields = Fields { pairs: String::with_capacity(USUAL_LINE), ..Fields::default() };
        event.record(&mut fields);
        [&fields.message, &fields.pairs, &fields.report, "\n"].into_iter().try_for_each(|part| out.write_str(part))
    }
}

fn shown(level: Level) -> (&'static str, AnsiColor) {
    match level {
        Level::ERROR => ("ERROR", AnsiColor::Red),
        Level::WARN => ("WARN", AnsiColor::Yellow),
        Level::INFO => ("INFO", AnsiColor::Green),
        Level::DEBUG => ("DEBUG", AnsiColor::Blue),
        Level::TRACE => ("TRACE", AnsiColor::BrightBlack),
    }
}

/// The parts of one event, in the order they are shown.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    pairs: String,
    report: String,
}

impl Fields {
    fn add(&mut self, name: &str, value: &str) {
        match name {
            "message" => self.message = escape(value),
            "report" => self.report = value.trim_end().lines().fold(String::new(), indented),
            _ if is_plain(value) => self.pairs.extend([" ", name, "=", value]),
            _ => self.pairs.extend([" ", name, "=", &quoted(value)]),
        }
    }

    /// Numbers and truth values need no look.
    fn add_plain(&mut self, name: &str, value: &str) {
        self.pairs.extend([" ", name, "=", value]);
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add_plain(field.name(), itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add_plain(field.name(), itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add_plain(field.name(), if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field.name(), &format!("{value:?}"));
    }
}

/// `all` and one more line of a report; an empty line stays empty.
fn indented(all: String, line: &str) -> String {
    let indent = if line.is_empty() { "" } else { "    " };
    all + "\n" + indent + &escape(line)
}

/// Whether `value` is shown as it stands, as nearly all are: nothing in it needs a quote or an escape.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\'))
}

/// `value` as it stands, or between quotes where it would be ambiguous.
fn quoted(value: &str) -> String {
    let plain = !value.is_empty() && !value.contains([' ', '"', '=', '\\']);
    let value = if plain { value.to_owned() } else { value.replace('\\', "\\\\").replace('"', "\\\"") };
    let value = escape(&value);
    if plain { value } else { format!("\"{value}\"") }
}

/// `value` with its control characters (also the invisible direction marks) written out.
pub(crate) fn escape(value: &str) -> String {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return value.to_owned();
    }
    let mut clean = String::with_capacity(value.len());
    for c in value.chars() {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_where_they_need_it() {
        for (value, shown) in [
            ("production/work", "production/work"),
            ("a b", "\"a b\""),
            ("", "\"\""),
            ("k=v", "\"k=v\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("tab\there", "tab\\there"),
            ("red\u{1b}[31m\r\n", "red\\u{1b}[31m\\r\\n"),
            ("模型", "模型"),
            ("\u{202e}drow", "\\u{202e}drow"),
        ] {
            assert_eq!(quoted(value), shown);
        }
    }
}
