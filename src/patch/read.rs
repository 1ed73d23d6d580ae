//! The text is read into its tree, from the events of the parser.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, StructureStyle};
use serde_json::Value;

use super::error::PatchError;
use super::scan;
use super::tree::{Anchor, Child, Data, Key, Node, Tree};
use crate::config::scalar;

/// Reads `text`, of which `config` found that it is YAML.
pub(super) fn parse(text: &str) -> Result<Tree, PatchError> {
    let mut builder = Builder { text, ..Builder::default() };
    let options = granit_parser::options! { emit_comments: false, emit_anchor_events: true };
    // An anchor is told after its node: what it belongs to is known before that node is finished.
    let mut events = Parser::new_from_str_with_options(text, options).peekable();
    while let Some(event) = events.next() {
        let (event, span) = event.map_err(|error| not_yaml(&error))?;
        let anchor = match events.peek() {
            Some(Ok((Event::Anchor(id, name), at))) => {
                Some(Anchor { id: *id, name: name.to_string(), span: at.byte_range().unwrap_or_default() })
            }
            _ => None,
        };
        builder.event(event, span.byte_range().unwrap_or_default(), anchor);
    }
    let empty = Node {
        span: text.len()..text.len(),
        anchor: None,
        data: Data::Scalar { style: ScalarStyle::Plain, value: Value::Null },
    };
    Ok(Tree { root: builder.root.unwrap_or_else(|| Rc::new(empty)), aliases: builder.aliases })
}

fn not_yaml(error: &granit_parser::ScanError) -> PatchError {
    let reason = match error.kind() {
        ErrorKind::UnknownAnchor => "an alias would stand before its anchor".to_owned(),
        kind => format!("the text would not be YAML any more: {kind}"),
    };
    PatchError::Refused(reason)
}

/// A collection whose end has not come yet, and the place in its parent that waits for it.
struct Frame {
    start: usize,
    anchor: Option<Anchor>,
    map: bool,
    flow: bool,
    children: Vec<Child>,
    key: Option<Key>,
    slot: (usize, usize),
}

#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    stack: Vec<Frame>,
    root: Option<Rc<Node>>,
    anchors: HashMap<usize, (String, Rc<Node>)>,
    aliases: Vec<(usize, usize)>,
    /// Behind what was read last.
    cursor: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Range<usize>, anchor: Option<Anchor>) {
        match event {
            Event::Scalar(text, style, _, tag) => {
                let plain = style == ScalarStyle::Plain;
                let merge = plain && tag.is_none() && text == "<<";
                let value = scalar::meaning(&text, plain, tag.as_deref());
                self.scalar(text.into_owned(), style, value, merge, span, anchor);
            }
            Event::Alias(id) => self.alias(id, span),
            Event::SequenceStart(style, ..) => self.open(false, style, span.start, anchor),
            Event::MappingStart(style, ..) => self.open(true, style, span.start, anchor),
            Event::SequenceEnd | Event::MappingEnd => self.close(span.end),
            _ => {}
        }
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        value: Option<Value>,
        merge: bool,
        span: Range<usize>,
        anchor: Option<Anchor>,
    ) {
        if let Some(frame) = self.stack.last_mut().filter(|frame| frame.map && frame.key.is_none()) {
            self.cursor = span.end;
            frame.key = Some(Key { text, span, merge });
            return;
        }
        let slot = self.slot(anchor.as_ref(), span.start);
        let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
        let span = if block { self.block_scalar(slot.1, &span) } else { span };
        let data = Data::Scalar { style, value: value.unwrap_or(Value::String(text)) };
        self.put(Node { span, anchor, data }, slot);
    }

    /// The parser tells the lines of a `|` text: its header belongs to it, line ends behind it do not.
    fn block_scalar(&self, from: usize, lines: &Range<usize>) -> Range<usize> {
        let start = scan::past_properties(self.text, from);
        let end = start + self.text[start..lines.end.max(start)].trim_end().len();
        start..end
    }

    fn alias(&mut self, id: usize, span: Range<usize>) {
        let Some((name, node)) = self.anchors.get(&id).map(|(name, node)| (name.clone(), Rc::clone(node))) else {
            return;
        };
        self.aliases.push((span.start, id));
        let slot = self.slot(None, span.start);
        self.put(Node { span, anchor: None, data: Data::Alias { name, node } }, slot);
    }

    fn open(&mut self, map: bool, style: StructureStyle, start: usize, anchor: Option<Anchor>) {
        let slot = self.slot(anchor.as_ref(), start);
        let flow = style == StructureStyle::Flow;
        self.cursor = self.cursor.max(if flow { start + 1 } else { slot.1 });
        self.stack.push(Frame { start, anchor, map, flow, children: Vec::new(), key: None, slot });
    }

    fn close(&mut self, end: usize) {
        let Some(Frame { start, anchor, map, flow, children, slot, .. }) = self.stack.pop() else { return };
        let span = match (children.first(), children.last()) {
            (Some(first), Some(last)) if !flow => first.head..last.end(),
            _ => start..end.max(start),
        };
        self.put(Node { span, anchor, data: Data::Collection { map, flow, children } }, slot);
    }

    /// Where the child that begins now has its head, and where its value may begin.
    fn slot(&self, anchor: Option<&Anchor>, start: usize) -> (usize, usize) {
        let start = anchor.map_or(start, |anchor| anchor.span.start.min(start));
        match self.stack.last() {
            Some(Frame { map: true, key: Some(key), .. }) => {
                let colon = scan::past_colon(self.text, key.span.end, start);
                (key.span.start, colon)
            }
            Some(Frame { map: false, flow: false, .. }) => {
                let dash = scan::dash(self.text, self.cursor);
                (dash, dash + 1)
            }
            _ => (start, start),
        }
    }

    fn put(&mut self, node: Node, (head, value_at): (usize, usize)) {
        self.cursor = self.cursor.max(node.span.end).max(value_at);
        let node = Rc::new(node);
        if let Some(Anchor { id, name, .. }) = &node.anchor {
            self.anchors.insert(*id, (name.clone(), Rc::clone(&node)));
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(frame) => {
                let key = frame.key.take();
                frame.children.push(Child { head, key, value_at, node });
            }
        }
    }
}
