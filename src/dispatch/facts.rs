//! What the proxy needs to know of a request body: one pass over the bytes as they lie, no tree, no copy.
//!
//! Invariants:
//! - only top-level `model` and `stream`, and `metadata.user_id`, are looked at; the same names deeper down are not;
//! - a body that is not JSON has no facts, and is forwarded all the same;
//! - positions are offsets into the whole body, so a value can be replaced in place.

use std::ops::Range;

use super::replay::Replay;
use super::skip::Place;

/// What a request body says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The model asked for.
    pub model: Option<String>,
    /// Where the values of top-level `model` stand, quotes included.
    pub model_at: Vec<Range<u64>>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Session id inside `metadata.user_id`, in either of its formats.
    pub session: Option<String>,
}

impl Facts {
    /// Reads them off `body`.
    pub fn of(body: &Replay) -> Self {
        let mut scanner = Scanner { text: Vec::with_capacity(USUAL), ..Scanner::default() };
        for piece in body.pieces() {
            scanner.feed(piece);
        }
        scanner.facts
    }
}

/// Room for the keys and values that clients send; longer ones take more.
const USUAL: usize = 256;
/// Longest key or value that is looked at; longer ones are none of ours.
const LONGEST: usize = 4096;

/// Which value is being read, at the depth where it counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Nothing,
    Model,
    Stream,
    Metadata,
    UserId,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the state of a scanner, one mark for each question it has answered")]
struct Scanner {
    facts: Facts,
    place: Place,
    /// Offset of the first byte of the piece at hand.
    base: u64,
    /// Inside `metadata`: what counts is at depth 2.
    in_metadata: bool,
    /// The next string at this depth is a key.
    key_next: bool,
    /// The string at hand is kept in `text`.
    kept: bool,
    is_key: bool,
    string_from: u64,
    text: Vec<u8>,
    wanted: Wanted,
}

impl Scanner {
    fn feed(&mut self, piece: &[u8]) {
        let mut at = 0;
        while at < piece.len() {
            let floor = 1 + u32::from(self.in_metadata);
            let none_of_ours = self.place.depth > floor || (self.place.in_string && !self.kept);
            at = match () {
                () if none_of_ours => at + self.place.pass(&piece[at..], floor.min(self.place.depth)),
                () if self.place.in_string => self.string(piece, at),
                () => self.structure(piece, at),
            };
            self.in_metadata &= self.place.depth > 1;
        }
        self.base += piece.len() as u64;
    }

    /// Goes on inside a string that is kept; returns where to continue.
    fn string(&mut self, piece: &[u8], at: usize) -> usize {
        let text = &piece[at..];
        let quote = memchr::memchr_iter(b'"', text).find(|quote| !self.is_escaped(&text[..*quote]));
        let Some(quote) = quote else {
            self.place.escaped = self.is_escaped(text);
            self.keep(text);
            return piece.len();
        };
        self.keep(&text[..quote]);
        self.end_string(self.base + (at + quote) as u64 + 1);
        at + quote + 1
    }

    /// Whether the byte after `text` is escaped: an odd number of backslashes stands before it, of which the piece before
    /// this one may hold the first.
    fn is_escaped(&self, text: &[u8]) -> bool {
        let backslashes = text.iter().rev().take_while(|byte| **byte == b'\\').count();
        let all = backslashes + usize::from(backslashes == text.len() && self.place.escaped);
        all % 2 == 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(&bytes[..bytes.len().min(LONGEST + 1)]);
        self.kept = self.text.len() <= LONGEST;
    }

    /// Walks over everything at hand that is not a string; returns where to continue.
    fn structure(&mut self, piece: &[u8], from: usize) -> usize {
        for (at, byte) in piece.iter().enumerate().skip(from) {
            match byte {
                b'"' => {
                    self.begin_string(self.base + at as u64);
                    return at + 1;
                }
                b'{' | b'[' | b'}' | b']' => {
                    self.bracket(*byte);
                    return at + 1;
                }
                b',' => self.next_member(),
                b't' if self.wanted == Wanted::Stream => self.facts.stream = true,
                b'f' | b'n' if self.wanted == Wanted::Stream => self.facts.stream = false,
                _ => {}
            }
        }
        piece.len()
    }

    fn next_member(&mut self) {
        self.key_next = true;
        self.wanted = Wanted::Nothing;
    }

    fn bracket(&mut self, byte: u8) {
        let depth = &mut self.place.depth;
        if matches!(byte, b'{' | b'[') {
            self.in_metadata |= *depth == 1 && byte == b'{' && self.wanted == Wanted::Metadata;
            *depth += 1;
            self.key_next = byte == b'{' && (*depth == 1 || self.in_metadata);
        } else {
            *depth = depth.saturating_sub(1);
        }
    }

    fn begin_string(&mut self, from: u64) {
        (self.place.in_string, self.place.escaped) = (true, false);
        self.string_from = from;
        self.is_key = std::mem::take(&mut self.key_next);
        self.kept = self.is_key || matches!(self.wanted, Wanted::Model | Wanted::UserId);
        self.text.clear();
    }

    fn end_string(&mut self, end: u64) {
        (self.place.in_string, self.place.escaped) = (false, false);
        if !self.kept {
            return;
        }
        if self.is_key {
            self.wanted = self.wanted_by_key();
        } else {
            self.value(end);
        }
    }

    fn wanted_by_key(&self) -> Wanted {
        let is_plain = memchr::memchr(b'\\', &self.text).is_none();
        let decoded = if is_plain { None } else { unescape(&self.text) };
        match (self.place.depth, decoded.as_deref().map_or(&self.text[..], str::as_bytes)) {
            (1, b"model") => Wanted::Model,
            (1, b"stream") => Wanted::Stream,
            (1, b"metadata") => Wanted::Metadata,
            (2, b"user_id") => Wanted::UserId,
            _ => Wanted::Nothing,
        }
    }

    fn value(&mut self, end: u64) {
        let Some(text) = unescape(&self.text) else { return };
        match self.wanted {
            Wanted::Model => {
                self.facts.model_at.push(self.string_from..end);
                self.facts.model = Some(text.into_owned());
            }
            Wanted::UserId => self.facts.session = session_of(&text),
            Wanted::Nothing | Wanted::Stream | Wanted::Metadata => {}
        }
        self.wanted = Wanted::Nothing;
    }
}

/// The text of a JSON string without its quotes.
fn unescape(raw: &[u8]) -> Option<std::borrow::Cow<'_, str>> {
    let text = std::str::from_utf8(raw).ok()?;
    if memchr::memchr(b'\\', raw).is_none() {
        return Some(text.into());
    }
    serde_json::from_str::<String>(&format!("\"{text}\"")).ok().map(Into::into)
}

/// The session id in `metadata.user_id`: a JSON object with `session_id`, or `user_<hex>_account_<uuid>_session_<uuid>`.
fn session_of(user_id: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct UserId {
        session_id: String,
    }
    let id = if user_id.trim_start().starts_with('{') {
        serde_json::from_str::<UserId>(user_id).ok()?.session_id
    } else {
        user_id.rsplit_once("_session_")?.1.to_owned()
    };
    (!id.is_empty()).then_some(id)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    /// The facts, which must not depend on where the body was cut.
    fn facts(text: &str) -> Facts {
        let whole = Facts::of(&Replay::new(vec![Bytes::copy_from_slice(text.as_bytes())]));
        let bytes = text.as_bytes().chunks(1).map(Bytes::copy_from_slice).collect();
        assert_eq!(Facts::of(&Replay::new(bytes)), whole, "{text}");
        whole
    }

    #[test]
    fn top_level_values_are_read_and_nested_ones_are_not() {
        let text = r#" {"tools":[{"input_schema":{"properties":{"model":{"type":"x"},"stream":true}},"model":"nested"}],
            "note":"a \"model\": \"quoted\" \\", "metadata":{"x":{"user_id":"deep_session_no"},"user_id":"user_ab_account_cd_session_11-22"},
            "model" : "claude-opus-4", "stream" : true, "messages":[]}"#;
        let facts = facts(text);
        assert_eq!(facts.model.as_deref(), Some("claude-opus-4"));
        assert_eq!(facts.session.as_deref(), Some("11-22"));
        assert!(facts.stream);
        let [at] = facts.model_at.as_slice() else { panic!("{facts:?}") };
        let at = usize::try_from(at.start).expect("small")..usize::try_from(at.end).expect("small");
        assert_eq!(&text[at], "\"claude-opus-4\"");
    }

    #[test]
    fn escapes_duplicates_and_other_types_are_understood() {
        assert_eq!(facts(r#"{"mod\u0065l":"a\/b","stream":false}"#).model.as_deref(), Some("a/b"));
        assert_eq!(facts(r#"{"model":"a","model":"b"}"#).model_at.len(), 2);
        assert_eq!(facts(r#"{"model":7,"x":"y"}"#).model, None);
        assert_eq!(facts(r#"{"model":["a"],"stream":"true"}"#), Facts::default());
        assert!(!facts(r#"{"stream":true,"stream":false}"#).stream);
        let long = "\\\"x".repeat(LONGEST);
        let text = format!(
            r#"{{"{long}":"a","system":"{long}","model":"{long}","model":"b","{long}":{{"model":"c"}},"stream":true}}"#
        );
        assert_eq!((facts(&text).model.as_deref(), facts(&text).stream), (Some("b"), true));
        let json = r#"{"metadata":{"user_id":"{\"device_id\":\"d\",\"session_id\":\"s-1\"}"}}"#;
        assert_eq!(facts(json).session.as_deref(), Some("s-1"));
    }

    #[test]
    fn what_is_not_json_has_no_facts() {
        for text in ["", "hello", "\"model\"", "[{\"model\":\"x\"}]", "{\"model", "}}}]", "\u{0}\u{1}"] {
            assert_eq!(facts(text).model, None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_full_parser(
            model in ".{0,12}", stream in any::<bool>(), other in ".{0,20}", nested in proptest::collection::vec(".{0,8}", 0..4),
        ) {
            let body = serde_json::json!({ "messages": nested, other.clone(): { "model": other }, "stream": stream, "model": model });
            let facts = facts(&body.to_string());
            prop_assert_eq!(facts.model.as_deref(), body["model"].as_str());
            prop_assert_eq!(facts.stream, body["stream"].as_bool().unwrap_or_default());
        }
    }
}
