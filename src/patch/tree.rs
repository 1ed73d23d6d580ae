//! The text as a tree that knows how it is written: where each child begins and ends, flow or block, anchors and aliases.
//!
//! `config`'s tree knows what a file means, with aliases and `<<` written out. This one keeps them as they are, because an
//! edit happens to what is written.

use std::ops::Range;
use std::rc::Rc;

use granit_parser::ScalarStyle;
use serde_json::{Map, Value};

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
    Alias { name: String, node: Rc<Node> },
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
