//! YAML text -> a tree with spans.
//!
//! A deserialiser would stop at its first error, know no positions, and quote values in its messages. So this builds a tree
//! from parser events, and says what is wrong with each place.
//!
//! - one document; keys are text as written; a key given twice is an error that names both places;
//! - `<<` merges, a mapping or a list of them; explicit keys win, then the earlier mapping;
//! - however hostile the text: at most [`MAX_DEPTH`] levels and [`MAX_NODES`] nodes, aliases written out.
//!
//! It does not know what any key means.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};
use indexmap::IndexMap;
use indexmap::map::Entry as Slot;

use super::node::{Data, Entry, Node};
use super::scalar;
use super::syntax;

/// Levels of nesting.
pub(super) const MAX_DEPTH: usize = 64;
/// Nodes, aliases written out. 10,000 endpoints have about 150,000.
pub(super) const MAX_NODES: usize = 500_000;

/// What is wrong at one place of the text.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) span: Range<usize>,
    /// The other place that has to do with it.
    pub(super) first: Option<Range<usize>>,
}

impl Problem {
    pub(super) fn new(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, span, first: None }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The tree of a text, and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct Parsed {
    /// The document; of a broken one, what was read of it. `None`: there is nothing.
    pub(super) root: Option<Rc<Node>>,
    /// Values whose key was given again later: they count for nothing, but may hold secrets.
    pub(super) shadowed: Vec<(String, Rc<Node>)>,
    /// Whether the end was reached.
    pub(super) complete: bool,
    /// What is wrong.
    pub(super) problems: Vec<Problem>,
}

/// Reads `text`.
pub(super) fn parse(text: &str) -> Parsed {
    let mut builder = Builder::default();
    let outcome = builder.read(text);
    let complete = outcome.is_ok();
    if let Err(problem) = outcome {
        builder.problems.push(problem);
        builder.abandon();
    }
    Parsed { root: builder.root, shadowed: builder.shadowed, complete, problems: builder.problems }
}

/// A collection whose end has not come yet.
struct Frame {
    start: usize,
    anchor: usize,
    data: Open,
}

enum Open {
    List(Vec<Rc<Node>>),
    Map { entries: IndexMap<String, Entry>, key: Option<(String, Range<usize>, bool)>, merges: Vec<Rc<Node>> },
}

#[derive(Default)]
struct Builder {
    stack: Vec<Frame>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
    shadowed: Vec<(String, Rc<Node>)>,
    problems: Vec<Problem>,
    documents: usize,
    nodes: usize,
}

impl Builder {
    fn read(&mut self, text: &str) -> Result<(), Problem> {
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH,
            block_nesting_limit: MAX_DEPTH,
        };
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, span) = event.map_err(|error| syntax::explain(text, &error))?;
            self.event(event, bytes(&span))?;
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Range<usize>) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(..) => self.document(span),
            Event::Alias(id) => self.alias(id, &span),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                self.scalar(text.into_owned(), plain, tag.as_deref(), anchor, span)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(Open::List(Vec::new()), anchor, tag.as_deref(), span),
            Event::MappingStart(_, anchor, tag) => {
                let map = Open::Map { entries: IndexMap::new(), key: None, merges: Vec::new() };
                self.open(map, anchor, tag.as_deref(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            _ => Ok(()),
        }
    }

    fn document(&mut self, span: Range<usize>) -> Result<(), Problem> {
        self.documents += 1;
        if self.documents == 1 {
            return Ok(());
        }
        Err(Problem::new("two-documents", span, "a second document starts here; a configuration is one document")
            .help("remove this `---`, or keep the other document in a file of its own"))
    }

    fn open(&mut self, data: Open, anchor: usize, tag: Option<&Tag>, span: Range<usize>) -> Result<(), Problem> {
        self.check_tag(tag, &span);
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(span));
        }
        self.stack.push(Frame { start: span.start, anchor, data });
        Ok(())
    }

    fn scalar(
        &mut self,
        text: String,
        plain: bool,
        tag: Option<&Tag>,
        anchor: usize,
        span: Range<usize>,
    ) -> Result<(), Problem> {
        self.check_tag(tag, &span);
        let value = scalar::meaning(&text, plain, tag);
        let merges = plain && tag.is_none() && text == "<<";
        self.put(Rc::new(Node::scalar(text, value, span)), anchor, merges)
    }

    fn alias(&mut self, id: usize, span: &Range<usize>) -> Result<(), Problem> {
        let Some(node) = self.anchors.get(&id).map(Rc::clone) else {
            return Err(Problem::new("alias-cycle", span.clone(), "this alias stands inside the value it names"));
        };
        if self.stack.len() + node.height > MAX_DEPTH {
            return Err(too_deep(span.clone()));
        }
        self.nodes += node.size;
        self.put(node, 0, false)
    }

    fn close(&mut self, end: usize) -> Result<(), Problem> {
        let Some(Frame { start, anchor, data }) = self.stack.pop() else { return Ok(()) };
        let data = match data {
            Open::List(items) => Data::List(items),
            Open::Map { mut entries, merges, .. } => {
                self.merge(&mut entries, &merges);
                Data::Map(entries)
            }
        };
        self.put(Rc::new(Node::collection(data, start..end.max(start))), anchor, false)
    }

    /// Hands a finished node to the collection it stands in.
    fn put(&mut self, node: Rc<Node>, anchor: usize, merges: bool) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new("too-many-nodes", node.span.clone(), format!("more than {MAX_NODES} values"))
                .help("aliases count as what they stand for"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.stack.last_mut().map(|frame| &mut frame.data) {
            None => self.root = Some(node),
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { key: key @ None, .. }) => *key = Some(as_key(&node, merges)?),
            Some(Open::Map { entries, key, merges }) => {
                let Some((key, span, merge)) = key.take() else { return Ok(()) };
                if merge {
                    merges.push(node);
                } else if let Some(earlier) = enter(entries, key, Entry { key: span, value: node }, &mut self.problems)
                {
                    self.shadowed.push(earlier);
                }
            }
        }
        Ok(())
    }

    fn merge(&mut self, entries: &mut IndexMap<String, Entry>, merges: &[Rc<Node>]) {
        for source in merges {
            match &source.data {
                Data::Map(more) => add_missing(entries, more),
                Data::List(maps) if maps.iter().all(|map| matches!(map.data, Data::Map(_))) => {
                    self.merge(entries, maps);
                }
                _ => self.problems.push(
                    Problem::new("merge", source.span.clone(), "`<<` takes a mapping, or a list of mappings")
                        .help("for example `<<: *defaults`"),
                ),
            }
        }
    }

    fn check_tag(&mut self, tag: Option<&Tag>, span: &Range<usize>) {
        if tag.is_some_and(|tag| tag.is_custom() && !scalar::is_non_specific(tag)) {
            self.problems.push(Problem::new("yaml-tag", span.clone(), "a tag of your own means nothing here"));
        }
    }

    /// Keeps what was read so far, so that its secrets are known.
    fn abandon(&mut self) {
        self.nodes = 0;
        while !self.stack.is_empty() {
            let end = self.stack.last().map_or(0, |frame| frame.start);
            if self.close(end).is_err() {
                return;
            }
        }
    }
}

fn bytes(span: &Span) -> Range<usize> {
    let range = span.byte_range().unwrap_or_default();
    range.start..range.end.max(range.start)
}

fn too_deep(span: Range<usize>) -> Problem {
    Problem::new("too-deep", span, format!("more than {MAX_DEPTH} levels of nesting"))
}

fn as_key(node: &Node, merges: bool) -> Result<(String, Range<usize>, bool), Problem> {
    match &node.data {
        Data::Scalar(text, _) => Ok((text.clone(), node.span.clone(), merges)),
        _ => Err(Problem::new("complex-key", node.first_span(), "a key must be plain text, not a list or a mapping")),
    }
}

/// Enters a key; the first one stays, and the value of a second one is handed back with its key.
fn enter(
    entries: &mut IndexMap<String, Entry>,
    key: String,
    entry: Entry,
    problems: &mut Vec<Problem>,
) -> Option<(String, Rc<Node>)> {
    match entries.entry(key) {
        Slot::Vacant(slot) => {
            slot.insert(entry);
            None
        }
        Slot::Occupied(slot) => {
            let message = format!("`{}` is given twice in this mapping", slot.key());
            let first = Some(slot.get().key.clone());
            problems.push(Problem { first, ..Problem::new("duplicate-key", entry.key, message) });
            Some((slot.key().clone(), entry.value))
        }
    }
}

fn add_missing(entries: &mut IndexMap<String, Entry>, more: &IndexMap<String, Entry>) {
    for (key, entry) in more {
        if !entries.contains_key(key) {
            entries.insert(key.clone(), entry.clone());
        }
    }
}
