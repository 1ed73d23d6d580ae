//! The text as a tree that knows how it is written: where each child begins and ends, flow or block, anchors and aliases.
//!
//! `config`'s tree knows what a file means, with aliases and `<<` written out. This one keeps them as they are, because an
//! edit happens to what is written.

use std::collections::HashMap;
use std::ops::Range;
use std::rc::Rc;

use granit_parser::{Event, Parser, ScalarStyle, StructureStyle};
use serde_json::{Map, Value};

use super::error::PatchError;
use super::scan;
use crate::config::scalar;

/// A parsed text.
#[derive(Debug)]
pub(super) struct Tree {
    /// The document; `null` if there is none.
    pub(super) root: Rc<Node>,
    /// Every alias: where it stands, and the anchor it means.
    pub(super) aliases: Vec<(usize, usize)>,
}

/// A value as it is written.
#[derive(Debug)]
pub(super) struct Node {
    /// From its first to its last character, without anchor and tag. Of a block collection: from its first child's head.
    pub(super) span: Range<usize>,
    /// The anchor that names it.
    pub(super) anchor: Option<Anchor>,
    pub(super) data: Data,
}

/// A name for a value.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) id: usize,
    pub(super) name: String,
    /// `&name`.
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Data {
    /// The text, how it is quoted, and what it means.
    Scalar { style: ScalarStyle, value: Value },
    /// Stands for a value above.
    Alias { name: String, id: usize, node: Rc<Node> },
    /// A mapping or a list.
    Collection { map: bool, flow: bool, children: Vec<Child> },
}

/// An entry of a mapping, or an item of a list.
#[derive(Clone, Debug)]
pub(super) struct Child {
    /// Where it begins: its key or its dash; in a flow list, its value.
    pub(super) head: usize,
    /// Its key, in a mapping.
    pub(super) key: Option<Key>,
    /// Right behind its `:` or `-`.
    pub(super) value_at: usize,
    /// Its value.
    pub(super) node: Rc<Node>,
}

/// A key as it is written.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) text: String,
    pub(super) span: Range<usize>,
    /// `<<`.
    pub(super) merge: bool,
}

impl Child {
    /// Behind its last character.
    pub(super) fn end(&self) -> usize {
        self.node.span.end.max(self.value_at)
    }

    /// Its key.
    pub(super) fn name(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.text.as_str())
    }
}

impl Node {
    /// The children of a collection.
    pub(super) fn children(&self) -> &[Child] {
        match &self.data {
            Data::Collection { children, .. } => children,
            _ => &[],
        }
    }

    /// Whether this is a mapping, and not an alias of one.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.data, Data::Collection { map: true, .. })
    }

    /// Whether this is a collection in brackets.
    pub(super) fn is_flow(&self) -> bool {
        matches!(self.data, Data::Collection { flow: true, .. })
    }

    /// Whether this is a collection on lines of its own.
    pub(super) fn is_block(&self) -> bool {
        matches!(self.data, Data::Collection { flow: false, .. })
    }

    /// The value itself, where an alias stands for it.
    pub(super) fn target(&self) -> &Self {
        match &self.data {
            Data::Alias { node, .. } => node.target(),
            _ => self,
        }
    }

    /// The entry of `key` in a mapping; the first, if it is given twice.
    pub(super) fn position(&self, key: &str) -> Option<usize> {
        self.children().iter().position(|child| child.name() == Some(key))
    }

    /// What is written, as plain values. An alias is not written out: it becomes an object that no file can contain.
    pub(super) fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar { value, .. } => value.clone(),
            Data::Alias { name, .. } => Map::from_iter([("\0alias".to_owned(), name.as_str().into())]).into(),
            Data::Collection { map: false, children, .. } => {
                children.iter().map(|child| child.node.to_value()).collect()
            }
            Data::Collection { children, .. } => object(children),
        }
    }
}

fn object(children: &[Child]) -> Value {
    let mut object = Map::new();
    for child in children {
        let key = child.name().unwrap_or_default().to_owned();
        object.entry(key).or_insert_with(|| child.node.to_value());
    }
    Value::Object(object)
}

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
    PatchError::Refused(format!("the text would not be YAML: {}", error.kind()))
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
        self.put(Node { span, anchor: None, data: Data::Alias { name, id, node } }, slot);
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
