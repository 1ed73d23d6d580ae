//! Watching a stream of server-sent events go by, without holding or changing any of it.
//!
//! Invariants:
//! - feeding a stream in any pieces gives the same [`Seen`];
//! - only `message_start`, `message_delta` and `error` events are looked into; the others cost one search for their line ends;
//! - lines end in LF, CRLF or CR, and the data of an event may have several, as the HTML standard has it;
//! - at most twice [`LONGEST_LINE`] bytes are remembered, whatever is fed.

use crate::telemetry::event::Tokens;

/// Longest line that is looked into; of longer ones the beginning.
const LONGEST_LINE: usize = 64 * 1024;
/// How most events of a stream begin; nothing in them is looked into.
const DELTA: &[u8] = b"event: content_block_delta\ndata:";
/// May stand before a stream.
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What has gone by so far.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent marks of one stream, each set once")]
pub struct Seen {
    /// Events of the API, pings left out.
    pub events: u32,
    /// All events, whatever they are.
    pub all_events: u32,
    /// `message_start`.
    pub started: bool,
    /// The first of `content_block_start`, `message_delta` with a `stop_reason`, `message_stop`: this is an answer.
    pub content: bool,
    /// A `content_block_stop`: the client keeps what it has.
    pub block_completed: bool,
    /// A `message_delta` that carried a `stop_reason`: the answer is whole.
    pub stop_reason: bool,
    /// `message_stop`.
    pub stopped: bool,
    /// Data of the first `error` event.
    pub error: Option<Vec<u8>>,
    /// Usage told so far.
    pub tokens: Tokens,
}

impl Seen {
    /// Whether an end of the stream at this point leaves nothing out.
    pub fn is_complete(&self) -> bool {
        self.error.is_none() && (self.stopped || self.stop_reason)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    /// No `event:` line yet.
    #[default]
    Unnamed,
    MessageStart,
    ContentBlockStart,
    ContentBlockStop,
    MessageDelta,
    MessageStop,
    Error,
    Ping,
    /// `content_block_delta` and whatever the API may add.
    Other,
    /// Not an event of the API.
    Foreign,
}

impl Kind {
    fn named(name: &[u8]) -> Self {
        match name {
            b"message_start" => Self::MessageStart,
            b"content_block_start" => Self::ContentBlockStart,
            b"content_block_stop" => Self::ContentBlockStop,
            b"message_delta" => Self::MessageDelta,
            b"message_stop" => Self::MessageStop,
            b"error" => Self::Error,
            b"ping" => Self::Ping,
            b"" | b"message" => Self::Unnamed,
            _ => Self::Other,
        }
    }

    /// Some providers leave `event:` out: then the data names its type. `None` if it is no JSON, or not all of it.
    fn of_data(data: &[u8]) -> Option<Self> {
        #[derive(serde::Deserialize)]
        struct Typed<'a> {
            #[serde(rename = "type", borrow)]
            kind: Option<std::borrow::Cow<'a, str>>,
            error: Option<serde::de::IgnoredAny>,
        }
        Some(match serde_json::from_slice(data).ok()? {
            Typed { kind: Some(kind), .. } => Self::named(kind.as_bytes()),
            Typed { error: Some(_), .. } => Self::Error,
            Typed { .. } => Self::Foreign,
        })
    }

    const fn is_looked_into(self) -> bool {
        matches!(self, Self::Unnamed | Self::MessageStart | Self::MessageDelta | Self::Error)
    }
}

/// Follows one stream.
#[derive(Debug, Default)]
pub struct Scanner {
    seen: Seen,
    kind: Kind,
    /// Beginning of a line whose end has not come yet.
    partial: Vec<u8>,
    in_line: bool,
    /// The last byte was a CR: a LF now belongs to it.
    after_return: bool,
    /// Lines of data that are not understood alone.
    data: Vec<u8>,
    /// The event at hand has lines.
    in_event: bool,
}

impl Scanner {
    /// Looks at the next piece of the stream.
    pub fn feed(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if let Some(rest) = self.pass_delta(piece) {
                piece = rest;
                continue;
            }
            if std::mem::take(&mut self.after_return) && piece[0] == b'\n' {
                piece = &piece[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', piece) else {
                self.in_line = true;
                return self.remember(piece);
            };
            self.end_line(&piece[..end]);
            self.after_return = piece[end] == b'\r';
            piece = &piece[end + 1..];
        }
    }

    /// Passes over an event that is whole and of the most frequent kind; what comes behind it.
    fn pass_delta<'a>(&mut self, piece: &'a [u8]) -> Option<&'a [u8]> {
        let data = piece.strip_prefix(DELTA).filter(|_| self.at_boundary())?;
        let end = memchr::memchr2(b'\n', b'\r', data)?;
        let rest = data[end..].strip_prefix(b"\n\n")?;
        self.count(Kind::Other);
        Some(rest)
    }

    /// What has gone by.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// Whether the last byte fed ended an event: the place where another event may follow. Not behind a CR, which may be
    /// half of a line's end.
    pub fn at_boundary(&self) -> bool {
        !self.in_line && !self.in_event && !self.after_return
    }

    fn remember(&mut self, piece: &[u8]) {
        let known = self.partial.starts_with(b"data:") && !self.kind.is_looked_into();
        if !known {
            let room = LONGEST_LINE.saturating_sub(self.partial.len());
            self.partial.extend_from_slice(&piece[..piece.len().min(room)]);
        }
    }

    fn end_line(&mut self, rest: &[u8]) {
        if self.in_line {
            self.remember(rest);
            let mut line = std::mem::take(&mut self.partial);
            self.line(&line);
            line.clear();
            self.partial = line;
            self.in_line = false;
        } else {
            self.line(rest);
        }
    }

    fn line(&mut self, line: &[u8]) {
        let begins = self.seen.all_events == 0 && !self.in_event;
        let line = line.strip_prefix(BOM).filter(|_| begins).unwrap_or(line);
        if line.is_empty() {
            return self.end_event();
        }
        self.in_event = true;
        if let Some(name) = line.strip_prefix(b"event:") {
            self.kind = Kind::named(name.trim_ascii());
        } else if let Some(data) = line.strip_prefix(b"data:") {
            self.data(data.trim_ascii());
        }
    }

    /// A line alone is looked at where it lies; one that is only a part waits for the others.
    fn data(&mut self, line: &[u8]) {
        if self.data.is_empty() && self.understands(line) {
            return;
        }
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        let room = LONGEST_LINE.saturating_sub(self.data.len());
        self.data.extend_from_slice(&line[..line.len().min(room)]);
    }

    /// Looks into the data of an event; whether that is all of it.
    fn understands(&mut self, data: &[u8]) -> bool {
        if self.kind == Kind::Unnamed {
            let Some(kind) = Kind::of_data(data) else { return false };
            self.kind = kind;
        }
        match self.kind {
            Kind::MessageStart | Kind::MessageDelta => self.usage(data),
            Kind::Error => self.error(data),
            _ => true,
        }
    }

    fn usage(&mut self, data: &[u8]) -> bool {
        let Ok(told) = serde_json::from_slice::<Told>(data) else { return false };
        self.seen.stop_reason |= told.delta.is_some_and(|delta| delta.stop_reason.is_some());
        for usage in [told.message.and_then(|message| message.usage), told.usage].into_iter().flatten() {
            usage.add_to(&mut self.seen.tokens);
        }
        true
    }

    fn error(&mut self, data: &[u8]) -> bool {
        let whole = serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
        if whole {
            self.seen.error.get_or_insert_with(|| data.to_vec());
        }
        whole
    }

    fn end_event(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            self.understands(&data);
        }
        let kind = std::mem::take(&mut self.kind);
        if !std::mem::take(&mut self.in_event) {
            return;
        }
        self.count(kind);
        match kind {
            Kind::MessageStart => self.seen.started = true,
            // Some providers close a failed stream in good form: what follows an error is no answer.
            _ if self.seen.error.is_some() => {}
            Kind::ContentBlockStart => self.seen.content = true,
            Kind::MessageDelta => self.seen.content |= self.seen.stop_reason,
            Kind::ContentBlockStop => self.seen.block_completed = true,
            Kind::MessageStop => (self.seen.content, self.seen.stopped) = (true, true),
            Kind::Error => self.seen.error = Some(data.clone()),
            _ => {}
        }
        data.clear();
        self.data = data;
    }

    fn count(&mut self, kind: Kind) {
        self.seen.all_events = self.seen.all_events.saturating_add(1);
        self.seen.events += u32::from(!matches!(kind, Kind::Ping | Kind::Unnamed | Kind::Foreign));
    }
}

/// The parts of `message_start` and `message_delta` that are looked into.
#[derive(serde::Deserialize)]
struct Told {
    message: Option<Message>,
    delta: Option<Delta>,
    usage: Option<Usage>,
}

#[derive(serde::Deserialize)]
struct Message {
    usage: Option<Usage>,
}

#[derive(serde::Deserialize)]
struct Delta {
    stop_reason: Option<String>,
}

/// Token usage as the API writes it, in streams and in whole answers; later figures replace earlier ones.
#[derive(Debug, serde::Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the API")]
pub struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
}

impl Usage {
    /// Takes over the figures that are told.
    pub fn add_to(&self, tokens: &mut Tokens) {
        tokens.input = self.input_tokens.unwrap_or(tokens.input);
        tokens.output = self.output_tokens.unwrap_or(tokens.output);
        tokens.cache_read = self.cache_read_input_tokens.unwrap_or(tokens.cache_read);
        tokens.cache_write = self.cache_creation_input_tokens.unwrap_or(tokens.cache_write);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const WHOLE: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n\
        event: ping\ndata: {\"type\":\"ping\"}\n\n: a comment\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\"}\n\n\
        event: content_block_delta\ndata: {\"delta\":{\"text\":\"event: error\\n\\n\"}}\n\n\
        event: content_block_stop\ndata: {}\n\n\
        event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\n\
        event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

    fn scan(text: &str, cuts: usize) -> Scanner {
        let mut scanner = Scanner::default();
        text.as_bytes().chunks(cuts).for_each(|piece| scanner.feed(piece));
        scanner
    }

    #[test]
    fn a_whole_stream_is_understood_however_it_is_cut() {
        for cut in 1..WHOLE.len() {
            let scanner = scan(WHOLE, cut);
            let seen = scanner.seen();
            assert!(
                seen.started && seen.content && seen.block_completed && seen.stop_reason && seen.stopped,
                "{cut} {seen:?}"
            );
            assert!(seen.error.is_none() && scanner.at_boundary());
            assert_eq!(seen.tokens, Tokens { input: 7, output: 42, cache_read: 3, cache_write: 0 });
            assert_eq!((seen.events, seen.all_events), (6, 8));
        }
        assert!(
            scan(&WHOLE.replace("event:", "x:").replace("data: {}", "data: {\"type\":\"content_block_stop\"}"), 9)
                .seen()
                .stopped
        );
    }

    #[test]
    fn lines_end_in_any_of_three_ways_behind_a_mark_of_byte_order() {
        for end in ["\n", "\r\n", "\r"] {
            let text = format!("\u{feff}{}", WHOLE.replace('\n', end));
            for cut in 1..40 {
                let scanner = scan(&text, cut);
                let seen = scanner.seen();
                assert!(seen.started && seen.block_completed && seen.stop_reason && seen.stopped, "{end:?} {cut}");
                assert_eq!((seen.events, seen.all_events, seen.tokens.output), (6, 8, 42), "{end:?} {cut}");
                assert_eq!(scanner.at_boundary(), end != "\r", "{end:?} {cut}");
            }
        }
        let error = scan("\u{feff}data: {\"type\":\"error\"}\r\r", 3).seen().error.clone();
        assert_eq!(error.as_deref(), Some(&b"{\"type\":\"error\"}"[..]));
    }

    #[test]
    fn data_in_several_lines_is_one_text() {
        let delta = "data: {\"type\":\"message_delta\",\ndata: \"delta\":{\"stop_reason\":\ndata: \"end_turn\"}}\n\n";
        let error = "event: error\ndata: {\"type\":\"error\",\ndata: \"error\":{\"type\":\"rate_limit_error\"}}\n\n";
        for cut in 1..30 {
            assert!(scan(delta, cut).seen().is_complete(), "{cut}");
            assert!(scan(&format!("event: message_delta\n{delta}"), cut).seen().is_complete(), "{cut}");
            let data = scan(error, cut).seen().error.clone().expect("an error");
            assert!(data.ends_with(b"\"rate_limit_error\"}}") && data.starts_with(b"{"), "{cut}");
        }
        assert_eq!(scan("event: error\ndata: boom\n\n", 4).seen().error.as_deref(), Some(&b"boom"[..]));
    }

    #[test]
    fn an_error_event_is_kept_with_its_data() {
        for text in [
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            "data: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
            "data:{\"error\":{\"type\":\"overloaded_error\"}}\r\n\r\n",
        ] {
            let error = scan(text, 3).seen().error.clone().expect(text);
            assert!(error.windows(16).any(|part| part == b"overloaded_error"));
        }
    }

    #[test]
    fn boundaries_are_only_between_events() {
        let mut scanner = Scanner::default();
        assert!(scanner.at_boundary());
        for (piece, boundary) in
            [("event: ping\n", false), ("data: {}", false), ("\n", false), ("\n", true), ("d", false)]
        {
            scanner.feed(piece.as_bytes());
            assert_eq!(scanner.at_boundary(), boundary, "{piece:?}");
        }
    }

    #[test]
    fn foreign_events_and_endless_lines_are_neither_answers_nor_memory() {
        let mut scanner = scan("data: {\"choices\":[]}\n\ndata: hello\n\n", 7);
        assert!(!scanner.seen().content && scanner.seen().events == 0 && scanner.seen().all_events == 2);
        (0..64).for_each(|_| scanner.feed(&vec![b'x'; 65_536]));
        assert!(scanner.partial.len() <= LONGEST_LINE);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same(text in "(event: |data: |error|ping|\\{\\}|\\n|\\r\\n|\\r|x){0,40}", cut in 1_usize..9) {
            let (a, b) = (scan(&text, cut), scan(&text, usize::MAX));
            prop_assert_eq!(format!("{:?}", a.seen()), format!("{:?}", b.seen()));
            prop_assert_eq!(a.at_boundary(), b.at_boundary());
        }
    }
}
