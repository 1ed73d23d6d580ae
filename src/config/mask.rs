//! Where the secrets stand in a text, so that they can be blanked wherever it is shown.
//!
//! - of a file that parses: every value whose key names a secret, wherever it stands (also below `x-...`, also shadowed by a
//!   second key), every header value, userinfo and query of every URL;
//! - of a file that does not, and of comments: the same judged by the words of each line;
//! - in both: every word that looks like a key (`sk-...`).
//!
//! References (`env`, `file`, `command`) stay readable. Blanking too much is harmless; too little is not.

use std::ops::Range;

use aho_corasick::AhoCorasick;

use super::node::{Data, Node};
use super::parse::{self, Parsed};
use super::secret::REDACTED;

/// The secrets of one text.
#[derive(Debug, Default)]
pub(super) struct Mask {
    /// Where they stand, in order, not overlapping.
    spans: Vec<Range<usize>>,
    /// The credentials among them.
    words: Option<AhoCorasick>,
}

/// Shorter ones are not looked for in messages: they could be any word.
const SHORTEST_WORD: usize = 8;

impl Mask {
    /// Of a text and what was parsed of it.
    pub(super) fn new(text: &str, parsed: &Parsed) -> Self {
        let mut search = Search::new(text);
        search.texts(parsed);
        let nodes = parsed.shadowed.iter().map(|(key, node)| (key.as_str(), node));
        nodes.for_each(|(key, node)| search.value(key, node));
        parsed.root.iter().for_each(|root| search.node(root));
        search.lines(!parsed.complete);
        search.bare_keys();
        search.urls();
        let words = AhoCorasick::new(&search.words).ok().filter(|_| !search.words.is_empty());
        Self { spans: merged(search.spans), words }
    }

    /// `range` of `text`, each character of a secret replaced by `*`; line ends stay. Also where `inner` went.
    pub(super) fn blank(&self, text: &str, range: &Range<usize>, inner: &Range<usize>) -> (String, Range<usize>) {
        let mut shown = String::with_capacity(range.len());
        let mut moved = 0..0;
        let mut next = self.spans.partition_point(|span| span.end <= range.start);
        for (offset, c) in text[range.clone()].char_indices() {
            let at = range.start + offset;
            while self.spans.get(next).is_some_and(|span| span.end <= at) {
                next += 1;
            }
            if at == inner.start {
                moved.start = shown.len();
            }
            if at == inner.end {
                moved.end = shown.len();
            }
            let secret = self.spans.get(next).is_some_and(|span| span.contains(&at));
            shown.push(if secret && !matches!(c, '\n' | '\r') { '*' } else { c });
        }
        if inner.start >= range.end {
            moved.start = shown.len();
        }
        if inner.end >= range.end {
            moved.end = shown.len();
        }
        (shown, moved)
    }

    /// `message` without any credential of the text.
    pub(super) fn scrub(&self, message: &mut String) {
        if let Some(words) = self.words.as_ref().filter(|words| words.is_match(message.as_str())) {
            *message = words.replace_all(message, &vec![REDACTED; words.patterns_len()]);
        }
        let mut search = Search::new(message);
        search.bare_keys();
        for span in merged(search.spans).into_iter().rev() {
            message.replace_range(span, REDACTED);
        }
    }
}

/// Where secrets stand in `text`, in order.
pub(crate) fn secrets(text: &str) -> Vec<Range<usize>> {
    Mask::new(text, &parse::parse(text)).spans
}

/// Whether values of `key` are never shown. Misspelt ones count.
pub(super) fn is_sensitive(key: &str) -> bool {
    names_a_secret(key) || matches!(key, "headers" | "webhook")
}

fn names_a_secret(key: &str) -> bool {
    let key: String = key.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    let known = ["key", "token", "secret", "password", "passwd", "credential", "authorization"];
    known.iter().any(|word| key.ends_with(word) || key.trim_end_matches('s').ends_with(word))
        || strsim::osa_distance(&key, "apikey") <= 2
        || strsim::osa_distance(&key, "token") <= 1
        || strsim::osa_distance(&key, "key") <= 1
}

struct Search<'t> {
    text: &'t str,
    spans: Vec<Range<usize>>,
    words: Vec<String>,
    /// Keys and values with a `#` in them, which begins no comment; in order.
    texts: Vec<Range<usize>>,
}

impl<'t> Search<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, spans: Vec::new(), words: Vec::new(), texts: Vec::new() }
    }

    /// Notes what is text of the file, and no comment.
    fn texts(&mut self, parsed: &Parsed) {
        let shadowed = parsed.shadowed.iter().map(|(_, node)| node);
        parsed.root.iter().chain(shadowed).for_each(|node| self.texts_in(node));
        self.texts = merged(std::mem::take(&mut self.texts));
    }

    fn texts_in(&mut self, node: &Node) {
        match &node.data {
            Data::Scalar(..) => self.text_at(&node.span),
            Data::List(items) => items.iter().for_each(|item| self.texts_in(item)),
            Data::Map(entries) => entries.values().for_each(|entry| {
                self.text_at(&entry.key);
                self.texts_in(&entry.value);
            }),
        }
    }

    fn text_at(&mut self, span: &Range<usize>) {
        if self.text.get(span.clone()).is_some_and(|raw| raw.contains('#')) {
            self.texts.push(span.clone());
        }
    }

    /// Where the comment begins in the line that begins at `start`; the line's length, if it has none.
    fn comment(&self, start: usize, line: &str) -> usize {
        let is_text = |at: usize| {
            let next = self.texts.partition_point(|text| text.end <= at);
            self.texts.get(next).is_some_and(|text| text.contains(&at))
        };
        let mut hashes = line.match_indices('#').map(|(at, _)| at);
        hashes.find(|at| !is_text(start + at)).unwrap_or(line.len())
    }

    fn node(&mut self, node: &Node) {
        match &node.data {
            Data::Scalar(text, _) => {
                self.url(text, &node.span);
                self.key_without_colon(text, &node.span);
            }
            Data::List(items) => items.iter().for_each(|item| self.node(item)),
            Data::Map(entries) => entries.iter().for_each(|(key, entry)| self.value(key, &entry.value)),
        }
    }

    fn value(&mut self, key: &str, node: &Node) {
        match &node.data {
            Data::Map(entries) if names_a_secret(key) => {
                entries.iter().for_each(|(key, entry)| self.reference(key, &entry.value));
            }
            _ if key == "webhook" => self.webhook(node),
            Data::Map(entries) if key == "headers" => entries.values().for_each(|entry| self.header(&entry.value)),
            _ if key == "headers" => self.everything(node, false),
            _ if names_a_secret(key) => self.everything(node, true),
            _ => self.node(node),
        }
    }

    /// The value of a header: a text, or a reference.
    fn header(&mut self, node: &Node) {
        match &node.data {
            Data::Map(entries) => entries.iter().for_each(|(key, entry)| self.reference(key, &entry.value)),
            _ => self.everything(node, false),
        }
    }

    /// Below `api_key`: a reference is no secret, unless the secret itself was written in its place.
    fn reference(&mut self, key: &str, node: &Node) {
        let plain = match (key, &node.data) {
            ("env", Data::Scalar(name, _)) => is_env_name(name),
            ("file" | "refresh" | "timeout", Data::Scalar(..)) | ("command", Data::List(_)) => true,
            _ => false,
        };
        if !plain {
            self.everything(node, true);
        }
    }

    fn everything(&mut self, node: &Node, credential: bool) {
        match &node.data {
            Data::Scalar(text, _) => {
                self.spans.push(node.span.clone());
                if credential && text.len() >= SHORTEST_WORD {
                    self.words.push(text.clone());
                }
            }
            Data::List(items) => items.iter().for_each(|item| self.everything(item, credential)),
            Data::Map(entries) => entries.values().for_each(|entry| self.everything(&entry.value, credential)),
        }
    }

    /// A URL whose path is a secret by itself: only the host stays.
    fn webhook(&mut self, node: &Node) {
        let raw = self.text.get(node.span.clone()).unwrap_or_default();
        let host = raw.find("://").map_or(0, |at| at + 3);
        let end = raw[host..].find(['/', '?', '#']).map_or(raw.len(), |at| host + at);
        self.spans.push(node.span.start + end..node.span.end);
    }

    /// Userinfo hidden by escapes: `urls` sees only what is written plainly.
    fn url(&mut self, value: &str, span: &Range<usize>) {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        if value.contains("://") && value.contains(['@', '?', '#']) && !raw.contains(value) {
            self.spans.push(span.clone());
        }
    }

    /// `api_key VALUE` on a line of its own is a text where a mapping should be.
    fn key_without_colon(&mut self, value: &str, span: &Range<usize>) {
        let before = self.text.get(..span.start).and_then(|text| text.rsplit('\n').next()).unwrap_or_default();
        let key = value.split_once(char::is_whitespace).map(|(key, _)| key);
        if before.trim().is_empty() && key.is_some_and(is_sensitive) {
            self.spans.push(span.clone());
        }
    }

    /// Userinfo, query and fragment of every URL in the text.
    fn urls(&mut self) {
        for (at, _) in self.text.match_indices("://") {
            let start = at + 3;
            let rest = &self.text[start..];
            let end = rest.find([' ', '\t', '\r', '\n', '"', '\'', ',', '}']).unwrap_or(rest.len());
            let host = rest[..end].find(['/', '?', '#']).unwrap_or(end);
            if let Some(userinfo) = rest[..host].rfind('@') {
                self.spans.push(start..start + userinfo);
            }
            if let Some(query) = rest[..end].find(['?', '#']) {
                self.spans.push(start + query + 1..start + end);
            }
        }
    }

    /// `sk-...` anywhere.
    fn bare_keys(&mut self) {
        for (start, _) in self.text.match_indices("sk-") {
            let rest = &self.text[start..];
            let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).unwrap_or(rest.len());
            let before = self.text[..start].chars().next_back();
            if word >= SHORTEST_WORD && !before.is_some_and(|c| c.is_ascii_alphanumeric()) {
                self.spans.push(start..start + word);
            }
        }
    }

    /// Judges lines by their words: all of them, or only the comments.
    fn lines(&mut self, all: bool) {
        let mut start = 0;
        let mut block = None;
        for line in self.text.split_inclusive('\n') {
            let from = if all { 0 } else { self.comment(start, line) };
            let indent = line.len() - line.trim_start_matches([' ', '\t', '#']).len();
            let content = line.trim_end().len().max(indent);
            let below = |above: usize| indent > above || all && indent == above && !is_entry(line);
            if block.is_some_and(below) && !is_reference(line) && from <= indent {
                self.spans.push(start + indent..start + content);
            } else if content > indent {
                block = self.words_of_line(start, line, from..content, all).then_some(indent);
            }
            start += line.len();
        }
    }

    /// Blanks what follows a key that names a secret; whether the secret may go on in the lines below. In a broken file the
    /// colon may be missing.
    fn words_of_line(&mut self, start: usize, line: &str, range: Range<usize>, broken: bool) -> bool {
        let part = line.get(range.clone()).unwrap_or_default();
        let ends_a_key = |c: char| matches!(c, ':' | '=') || broken && matches!(c, ' ' | '\t');
        for (colon, _) in part.match_indices(ends_a_key) {
            let before = part[..colon].trim_end().trim_end_matches(['"', '\'']);
            let word = before.trim_end_matches(|c: char| c.is_alphanumeric() || "-_.".contains(c)).len();
            let value = part[colon + 1..].trim_start();
            if is_sensitive(&before[word..]) && !is_flow_reference(value) {
                self.spans.push(start + range.end - value.len()..start + range.end);
                return true;
            }
        }
        broken && part.rsplit([' ', '\t']).next().is_some_and(is_sensitive)
    }
}

/// Whether a line begins a key or an item of its own.
fn is_entry(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with(['-', '#']) || line.find(':').is_some_and(|colon| colon > 0)
}

fn is_env_name(name: &str) -> bool {
    let name = name.as_bytes();
    name.first().is_some_and(|b| !b.is_ascii_digit()) && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Whether a line starts with `env: NAME`, `file:` or the like.
fn is_reference(line: &str) -> bool {
    let line = line.trim_start_matches(|c: char| !c.is_alphanumeric());
    if let Some(name) = line.strip_prefix("env:") {
        return is_env_name(name.trim_matches(|c: char| c.is_whitespace() || "\"'}".contains(c)));
    }
    ["file:", "command:", "refresh:", "timeout:"].iter().any(|key| line.starts_with(key))
}

/// Whether all of `value` is `{ env: NAME }` or the like.
fn is_flow_reference(value: &str) -> bool {
    let inner = value.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    inner.is_some_and(|(inner, _)| !inner.contains(',') && is_reference(inner))
}

fn merged(mut spans: Vec<Range<usize>>) -> Vec<Range<usize>> {
    spans.sort_by_key(|span| span.start);
    let mut merged: Vec<Range<usize>> = Vec::with_capacity(spans.len());
    for span in spans.into_iter().filter(|span| !span.is_empty()) {
        match merged.last_mut().filter(|last| last.end >= span.start) {
            Some(last) => last.end = last.end.max(span.end),
            None => merged.push(span),
        }
    }
    merged
}
