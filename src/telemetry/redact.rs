//! Redaction by value: the last line of defence between a secret and a log.
//!
//! The [`Secret`] type already shows itself as `[redacted]`. This module catches what a type cannot: a key inside an
//! upstream's error text, a path, a panic message. Every sink writes through [`Redacted`].
//!
//! - a registered value is replaced wherever it occurs in a line, also in its JSON-escaped form;
//! - [`register`] is cheap: the automaton is rebuilt by the next line that is written, not per value;
//! - memory is bounded: the last 50,000 to 100,000 distinct values are known;
//! - values under [`SHORTEST`] bytes are not known: replacing them would blank ordinary words.
//!
//! It does not know encodings of a value other than JSON's.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};

use crate::config::Secret;
use crate::config::secret::REDACTED;

/// Shortest value that is redacted, in bytes.
pub const SHORTEST: usize = 6;

/// Values that can be added before the older half is forgotten.
const HALF: usize = 50_000;

/// What this process knows.
static KNOWN: Known = Known::new();

/// Makes `secret` unable to leave through a log sink from now on, also in lines that are formatted but not yet written.
pub fn register(secret: &Secret) {
    KNOWN.register(secret);
}

/// `line` with every registered value replaced by `[redacted]`.
pub fn redact(line: &[u8]) -> Cow<'_, [u8]> {
    KNOWN.redact(line)
}

/// A registry that threads share.
#[derive(Debug)]
struct Known(RwLock<Registry>);

impl Known {
    const fn new() -> Self {
        Self(RwLock::new(Registry::new()))
    }

    fn register(&self, secret: &Secret) {
        let mut registry = self.0.write().unwrap_or_else(PoisonError::into_inner);
        registry.add(secret.clone());
        if let Some(escaped) = escaped(secret) {
            registry.add(escaped);
        }
    }

    fn redact<'a>(&self, line: &'a [u8]) -> Cow<'a, [u8]> {
        match self.automaton() {
            Some(automaton) if automaton.is_match(line) => Cow::Owned(replace(&automaton, line)),
            _ => Cow::Borrowed(line),
        }
    }

    /// The automaton over everything registered, `None` while that is nothing.
    fn automaton(&self) -> Option<Arc<AhoCorasick>> {
        let registry = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if registry.automaton.is_some() || registry.is_empty() {
            return registry.automaton.clone();
        }
        drop(registry);
        self.0.write().unwrap_or_else(PoisonError::into_inner).build()
    }
}

/// A writer whose every `write` is one whole line, redacted on its way to `W`.
#[derive(Debug)]
pub struct Redacted<W>(pub W);

impl<W: io::Write> io::Write for Redacted<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.write_all(&redact(line))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Makes panics of this process print redacted, and without a backtrace unless `RUST_BACKTRACE` asks for one.
pub fn guard_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let shown = matches!(backtrace.status(), std::backtrace::BacktraceStatus::Captured);
        let panic = panic.to_string();
        let panic = without_quotes(&panic);
        let text = if shown { format!("{panic}\n{backtrace}\n") } else { format!("{panic}\n") };
        // Nobody is left to hear of a failing standard error.
        drop(io::Write::write_all(&mut io::stderr(), &redact(text.as_bytes())));
    }));
}

/// A panic's message to where it quotes a text: that may be a file with keys that nobody registered.
fn without_quotes(message: &str) -> &str {
    let quote = [" of `", " slicing `"].iter().filter_map(|words| message.find(words)).min();
    quote.map_or(message, |quote| &message[..quote])
}

/// What is known, in two halves by age so that forgetting costs nothing.
#[derive(Debug)]
struct Registry {
    young: Option<HashSet<Value>>,
    old: Option<HashSet<Value>>,
    /// `None`: to be rebuilt.
    automaton: Option<Arc<AhoCorasick>>,
}

/// A secret that can be looked up by its text.
#[derive(Debug, PartialEq, Eq)]
struct Value(Secret);

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.expose().hash(state);
    }
}

impl Registry {
    const fn new() -> Self {
        Self { young: None, old: None, automaton: None }
    }

    fn add(&mut self, secret: Secret) {
        let value = Value(secret);
        if value.0.expose().len() < SHORTEST || contains(self.young.as_ref(), &value) {
            return;
        }
        if !contains(self.old.as_ref(), &value) {
            self.automaton = None;
        }
        let young = self.young.get_or_insert_default();
        young.insert(value);
        if young.len() >= HALF {
            self.old = self.young.take();
        }
    }

    fn is_empty(&self) -> bool {
        self.young.is_none() && self.old.is_none()
    }

    fn build(&mut self) -> Option<Arc<AhoCorasick>> {
        let values = self.young.iter().chain(&self.old).flatten().map(|value| value.0.expose());
        // Longest first: where one key is the beginning of another, nothing of the longer one is left.
        let built = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(values);
        self.automaton = built.ok().map(Arc::new);
        self.automaton.clone()
    }
}

fn contains(half: Option<&HashSet<Value>>, value: &Value) -> bool {
    half.is_some_and(|half| half.contains(value))
}

fn escaped(secret: &Secret) -> Option<Secret> {
    let json = serde_json::to_string(secret.expose()).ok()?;
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    (inner != secret.expose()).then(|| Secret::new(inner))
}

fn replace(automaton: &AhoCorasick, line: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(line.len());
    automaton.replace_all_with_bytes(line, &mut clean, |_, _, clean| {
        clean.extend_from_slice(REDACTED.as_bytes());
        true
    });
    clean
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// Knows `secrets`, and nothing that other tests register.
    fn knowing(secrets: &[&str]) -> Known {
        let known = Known::new();
        for secret in secrets {
            known.register(&Secret::new(*secret));
        }
        known
    }

    fn shown(known: &Known, line: &str) -> String {
        String::from_utf8(known.redact(line.as_bytes()).into_owned()).expect("the marker is text")
    }

    #[test]
    fn a_registered_value_is_replaced_everywhere_in_a_line() {
        let known = knowing(&["sk-canary-replace"]);
        assert_eq!(shown(&known, "a sk-canary-replace,sk-canary-replace b"), "a [redacted],[redacted] b");
        assert_eq!(shown(&known, "sk-canary-other"), "sk-canary-other");
    }

    #[test]
    fn nothing_of_the_longer_of_two_keys_is_left() {
        let known = knowing(&["sk-canary-long", "sk-canary-long-tail"]);
        assert_eq!(shown(&known, "<sk-canary-long-tail>"), "<[redacted]>");
    }

    #[test]
    fn the_json_form_of_a_value_is_known_too() {
        let known = knowing(&["can\"ary\\form"]);
        assert_eq!(shown(&known, r#"{"detail":"can\"ary\\form"}"#), r#"{"detail":"[redacted]"}"#);
    }

    #[test]
    fn short_values_are_left_alone_and_a_later_value_is_picked_up() {
        let known = knowing(&["abcde"]);
        assert_eq!(shown(&known, "abcde sk-canary-later"), "abcde sk-canary-later");
        known.register(&Secret::new("sk-canary-later"));
        assert_eq!(shown(&known, "abcde sk-canary-later"), "abcde [redacted]");
    }

    #[test]
    fn the_writer_reports_the_length_it_was_given() {
        register(&Secret::new("sk-canary-writer-long"));
        let mut sink = Redacted(Vec::new());
        sink.write_all(b"key sk-canary-writer-long\n").expect("a vector takes everything");
        assert_eq!(sink.0, b"key [redacted]\n");
    }

    #[test]
    fn a_panic_quotes_no_text() {
        let quoting = |range: std::ops::Range<usize>| {
            let text = String::from("api_key: sk-canary-é");
            let panic = std::panic::catch_unwind(|| text[range].len()).expect_err("no such range");
            panic.downcast::<String>().expect("a message")
        };
        for (start, end, kept) in [(3, 2, "begin"), (0, 20, "char boundary")] {
            let message = quoting(start..end);
            assert!(message.contains("canary"), "{message}");
            let shown = without_quotes(&message);
            assert!(shown.contains(kept) && !shown.contains("canary"), "{shown}");
        }
        assert_eq!(without_quotes("a bug of `x`"), "a bug");
    }

    #[test]
    fn memory_is_bounded_and_the_newest_values_are_kept() {
        let mut registry = Registry::new();
        for number in 0..(3 * HALF) {
            registry.add(Secret::new(format!("key-{number:07}")));
        }
        let known = registry.young.iter().chain(&registry.old).map(HashSet::len).sum::<usize>();
        assert!(known <= 2 * HALF, "{known}");
        let newest = Value(Secret::new(format!("key-{:07}", 3 * HALF - 1)));
        assert!(contains(registry.young.as_ref(), &newest) || contains(registry.old.as_ref(), &newest));
    }

    #[test]
    fn registering_does_not_build_and_a_known_value_keeps_the_automaton() {
        let mut registry = Registry::new();
        registry.add(Secret::new("sk-canary-one"));
        assert!(registry.automaton.is_none());
        assert!(registry.build().is_some());
        registry.add(Secret::new("sk-canary-one"));
        assert!(registry.automaton.is_some());
    }
}
