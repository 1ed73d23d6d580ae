//! A request as it is stored, and as it is sent again. Pure.
//!
//! Invariants:
//! - no credential is stored: headers that may be one stay out, whatever their name is exactly;
//! - nor is what belongs to the client's connection: only headers that are forwarded are;
//! - the body is stored as it came, byte for byte.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap as Headers, Method};
use tokio::time::Instant;

use crate::dispatch::call::{Call, Kind};
use crate::dispatch::facts::Facts;
use crate::dispatch::replay::Replay;
use crate::limit::Share;
use crate::store::entries;

/// What a header that carries a credential has in its name.
const CREDENTIALS: [&str; 7] = ["auth", "key", "token", "secret", "cookie", "credential", "password"];
/// Letters of a name.
const NAME: usize = 10;

/// A new name: short enough to type.
pub(super) fn name() -> Arc<str> {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    (0..NAME).map(|_| char::from(LETTERS[fastrand::usize(..LETTERS.len())])).collect::<String>().into()
}

/// What is stored of `call`.
pub(super) fn request(call: &Call) -> entries::Request {
    entries::Request {
        target: call.target.to_string(),
        headers: write(call.upward().filter(|(name, value)| is_kept(name, value))),
        body: call.body.pieces().concat(),
    }
}

/// The stored request, to be sent again until `deadline`; `None` if it cannot be read.
pub(super) fn call(request: entries::Request, deadline: Instant, room: Option<Share>) -> Option<Call> {
    let target: PathAndQuery = request.target.parse().ok()?;
    let mut headers = read(&request.headers);
    // Answers are kept in clear, to be handed out in any form.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let body = Replay::new(vec![Bytes::from(request.body)]);
    let facts = Facts::of(&body);
    let session = Call::session(&headers, &facts);
    let kind = Kind::Messages;
    Some(Call { kind, method: Method::POST, target, headers, body, facts, session, deadline, room, stored: true })
}

fn is_kept(name: &HeaderName, value: &HeaderValue) -> bool {
    let name = name.as_str();
    name != ACCEPT_ENCODING.as_str() && !value.is_sensitive() && !CREDENTIALS.iter().any(|part| name.contains(part))
}

/// Headers as HTTP/1.1 writes them.
pub(super) fn write<'a>(headers: impl Iterator<Item = (&'a HeaderName, &'a HeaderValue)>) -> Vec<u8> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    headers.flat_map(line).collect()
}

/// What [`write()`] wrote; lines that are no header are left out.
pub(super) fn read(text: &[u8]) -> HeaderMap {
    let mut headers = Headers::new();
    for line in text.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = memchr::memmem::find(line, b": ") else { continue };
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(&line[colon + 2..]))
        {
            headers.append(name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_come_back_as_they_were_and_no_credential_is_among_them() {
        let mut headers = Headers::new();
        for (name, value) in [
            ("anthropic-beta", "one"),
            ("anthropic-beta", "two, three"),
            ("x-claude-code-session-id", "s-1"),
            ("x-odd", "\u{e9}: :"),
        ] {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let kept = headers.clone();
        for name in ["authorization", "x-api-key", "cookie", "x-goog-api-key", "my-token", "accept-encoding"] {
            headers.insert(name, HeaderValue::from_static("canary"));
        }
        let mut sensitive = HeaderValue::from_static("canary");
        sensitive.set_sensitive(true);
        headers.insert("x-innocent", sensitive);
        let written = write(headers.iter().filter(|(name, value)| is_kept(name, value)));
        assert_eq!(read(&written), kept);
        assert!(memchr::memmem::find(&written, b"canary").is_none());
    }

    #[test]
    fn names_are_short_and_differ() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| name()).collect();
        assert!(names.len() == 1000 && names.iter().all(|name| name.len() == NAME));
    }
}
