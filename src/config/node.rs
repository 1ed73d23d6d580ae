//! The document as a tree that knows where everything stands.
//!
//! Nodes are shared (`Rc`), so an alias costs nothing here; what it would cost when written out is counted in `size` and
//! `height`, which `parse` holds within its limits.

use std::ops::Range;
use std::rc::Rc;

use indexmap::IndexMap;
use serde_json::Value;

use super::place::{Place, Step};

/// A value and where it stands.
#[derive(Debug)]
pub(super) struct Node {
    /// Bytes of the text. Of an aliased value: where its anchor is.
    pub(super) span: Range<usize>,
    /// The value.
    pub(super) data: Data,
    /// Nodes in this subtree, aliases written out.
    pub(super) size: usize,
    /// Levels in this subtree, 1 for a scalar.
    pub(super) height: usize,
}

/// What a node holds.
#[derive(Debug)]
pub(super) enum Data {
    /// A scalar as written, and what it means; `None`: the text itself.
    Scalar(String, Option<Value>),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping, in the order of the file; merged keys come last.
    Map(IndexMap<String, Entry>),
}

/// A key of a mapping, with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where the key stands.
    pub(super) key: Range<usize>,
    /// Its value.
    pub(super) value: Rc<Node>,
}

impl Node {
    /// A scalar.
    pub(super) const fn scalar(text: String, value: Option<Value>, span: Range<usize>) -> Self {
        Self { span, data: Data::Scalar(text, value), size: 1, height: 1 }
    }

    /// A list or mapping; sums up its children.
    pub(super) fn collection(data: Data, span: Range<usize>) -> Self {
        let mut node = Self { span, data, size: 1, height: 0 };
        let (mut size, mut height) = (1_usize, 0);
        node.for_each_child(|child| {
            size = size.saturating_add(child.size);
            height = height.max(child.height);
        });
        (node.size, node.height) = (size, height + 1);
        node
    }

    fn for_each_child(&self, mut f: impl FnMut(&Self)) {
        match &self.data {
            Data::Scalar(..) => {}
            Data::List(items) => items.iter().for_each(|item| f(item)),
            Data::Map(entries) => entries.values().for_each(|entry| f(&entry.value)),
        }
    }

    /// The plain value, aliases written out.
    pub(super) fn to_value(&self) -> Value {
        match &self.data {
            Data::Scalar(text, value) => value.clone().unwrap_or_else(|| Value::String(text.clone())),
            Data::List(items) => items.iter().map(|item| item.to_value()).collect(),
            Data::Map(entries) => entries.iter().map(|(key, entry)| (key.clone(), entry.value.to_value())).collect(),
        }
    }

    /// The node at `place`, with the span of the key that leads to it.
    pub(super) fn find(&self, place: &Place) -> Option<(Option<Range<usize>>, &Self)> {
        let mut found = (None, self);
        for step in place.steps() {
            found = found.1.child(step)?;
        }
        Some(found)
    }

    fn child(&self, step: &Step) -> Option<(Option<Range<usize>>, &Self)> {
        match (&self.data, step) {
            (Data::Map(entries), Step::Key(key)) => {
                entries.get(key).map(|entry| (Some(entry.key.clone()), &*entry.value))
            }
            (Data::List(items), Step::Index(index)) => items.get(*index).map(|item| (None, &**item)),
            _ => None,
        }
    }

    /// Where a person looks for this node: a scalar itself, the first key of a mapping, the first item of a list.
    pub(super) fn first_span(&self) -> Range<usize> {
        match &self.data {
            Data::Scalar(..) => self.span.clone(),
            Data::List(items) => items.first().map_or_else(|| self.span.clone(), |item| item.first_span()),
            Data::Map(entries) => entries.first().map_or_else(|| self.span.clone(), |(_, entry)| entry.key.clone()),
        }
    }
}
