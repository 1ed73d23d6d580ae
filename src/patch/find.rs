//! Where a path leads in the tree, and whether an edit there would reach further than it says.

use std::ops::Range;

use super::edit::{Path, Step};
use super::error::PatchError;
use super::scan;
use super::tree::{Child, Data, Node, Tree};

/// How far a path leads.
#[derive(Debug)]
pub(super) struct Spot<'p> {
    /// The way to the last value that is there, as positions.
    pub(super) trail: Vec<usize>,
    /// The steps that lead further, to nothing.
    pub(super) rest: &'p [Step],
}

impl Tree {
    /// The value at the end of `trail`.
    pub(super) fn node(&self, trail: &[usize]) -> &Node {
        trail.iter().fold(&*self.root, |node, at| &*node.children()[*at].node)
    }

    /// The child at the end of `trail`; `None` for the root.
    pub(super) fn child(&self, trail: &[usize]) -> Option<&Child> {
        let (last, above) = trail.split_last()?;
        self.node(above).children().get(*last)
    }

    /// Follows `path`, but never through an alias or `<<`: what stands there is written elsewhere.
    pub(super) fn walk<'p>(&self, text: &str, path: &'p Path) -> Result<Spot<'p>, PatchError> {
        let mut trail = Vec::new();
        let mut node = &*self.root;
        for (depth, step) in path.0.iter().enumerate() {
            if let Data::Alias { name, .. } = &node.data {
                return Err(shared(text, &path.0[..=depth], name, node.span.start));
            }
            let Some(at) = position(node, step) else {
                return match merged(node, step) {
                    Some((name, at)) if depth + 1 < path.0.len() => Err(shared(text, &path.0[..=depth], name, at)),
                    _ => Ok(Spot { trail, rest: &path.0[depth..] }),
                };
            };
            trail.push(at);
            node = &node.children()[at].node;
        }
        Ok(Spot { trail, rest: &[] })
    }

    /// Whether what is not at `spot` comes by a `<<` there.
    pub(super) fn is_merged(&self, spot: &Spot<'_>) -> bool {
        spot.rest.first().is_some_and(|step| merged(self.node(&spot.trail), step).is_some())
    }

    /// Why there is nothing at `path`, which leads as far as `spot`.
    pub(super) fn missing(&self, text: &str, path: &Path, spot: &Spot<'_>) -> PatchError {
        let node = self.node(&spot.trail);
        if let Some((name, at)) = spot.rest.first().and_then(|step| merged(node, step)) {
            return shared(text, &path.0, name, at);
        }
        let depth = path.0.len() - spot.rest.len();
        let nearest = spot.rest.first().and_then(|step| nearest(node, step)).map(|step| {
            let mut steps = path.0.clone();
            steps.truncate(depth);
            Path(steps).then(step).to_string()
        });
        PatchError::Missing { path: Path(path.0[..=depth].to_vec()), nearest }
    }

    /// Refuses an edit of the value at `trail` that other places would feel: it, or something around it, has an anchor
    /// that is used. Below `x-...`, where anchors are kept for that, it is what was meant.
    pub(super) fn guard(&self, text: &str, path: &Path, trail: &[usize]) -> Result<(), PatchError> {
        let section = trail.first().and_then(|at| self.root.children().get(*at)).and_then(Child::name);
        if section.is_some_and(|name| name.starts_with("x-")) {
            return Ok(());
        }
        (0..=trail.len()).try_for_each(|depth| self.unused(text, path, self.node(&trail[..depth]), 0..0))
    }

    /// Refuses to take away the value at `trail` while an alias elsewhere needs an anchor of it.
    pub(super) fn guard_removal(&self, text: &str, path: &Path, trail: &[usize]) -> Result<(), PatchError> {
        let node = self.node(trail);
        self.unused_below(text, path, node, &node.span)
    }

    /// The same for what is inside of it: its own anchor stays.
    pub(super) fn guard_inside(&self, text: &str, path: &Path, trail: &[usize]) -> Result<(), PatchError> {
        let node = self.node(trail);
        node.children().iter().try_for_each(|child| self.unused_below(text, path, &child.node, &node.span))
    }

    fn unused_below(&self, text: &str, path: &Path, node: &Node, gone: &Range<usize>) -> Result<(), PatchError> {
        self.unused(text, path, node, gone.clone())?;
        node.children().iter().try_for_each(|child| self.unused_below(text, path, &child.node, gone))
    }

    fn unused(&self, text: &str, path: &Path, node: &Node, gone: Range<usize>) -> Result<(), PatchError> {
        let Some(anchor) = &node.anchor else { return Ok(()) };
        let uses = self.aliases.iter().filter(|(at, id)| *id == anchor.id && !gone.contains(at));
        let lines: Vec<usize> = uses.map(|(at, _)| scan::line_number(text, *at)).collect();
        if lines.is_empty() {
            return Ok(());
        }
        Err(PatchError::Anchored { path: path.clone(), anchor: anchor.name.clone(), lines })
    }
}

fn shared(text: &str, steps: &[Step], anchor: &str, at: usize) -> PatchError {
    let (path, anchor) = (Path(steps.to_vec()), anchor.to_owned());
    PatchError::Shared { path, anchor, line: scan::line_number(text, at) }
}

fn position(node: &Node, step: &Step) -> Option<usize> {
    match step {
        Step::Key(key) => node.position(key).filter(|_| node.is_map()),
        Step::Index(index) => Some(*index).filter(|index| !node.is_map() && *index < node.children().len()),
        Step::Item(name) => item(node, name),
    }
}

/// The list item of that id or name; else the one at that position.
pub(super) fn item(node: &Node, name: &str) -> Option<usize> {
    if node.is_map() {
        return None;
    }
    let named = node.children().iter().position(|child| label(&child.node).as_deref() == Some(name));
    named.or_else(|| name.parse().ok().filter(|index| *index < node.children().len()))
}

/// What a list item is called.
fn label(node: &Node) -> Option<String> {
    let node = node.target();
    let at = node.position("id").or_else(|| node.position("name"))?;
    match &node.children()[at].node.target().data {
        Data::Scalar { value, .. } => value.as_str().map(str::to_owned),
        _ => None,
    }
}

/// The alias behind `<<` that brings in the key of `step`, and where it stands.
pub(super) fn merged<'n>(node: &'n Node, step: &Step) -> Option<(&'n str, usize)> {
    let Step::Key(key) = step else { return None };
    let sources = node.children().iter().filter(|child| child.key.as_ref().is_some_and(|key| key.merge));
    sources
        .flat_map(
            |child| if child.node.children().is_empty() { std::slice::from_ref(child) } else { child.node.children() },
        )
        .find_map(|source| {
            let Data::Alias { name, node, .. } = &source.node.data else { return None };
            let target = node.target();
            let found = target.position(key).is_some() || merged(target, step).is_some();
            found.then_some((name.as_str(), source.node.span.start))
        })
}

/// What `step` may have been meant to say.
fn nearest(node: &Node, step: &Step) -> Option<Step> {
    let wanted = match step {
        Step::Key(name) | Step::Item(name) => name,
        Step::Index(_) => return None,
    };
    let map = node.is_map();
    let names = node
        .children()
        .iter()
        .filter_map(|child| if map { child.name().map(str::to_owned) } else { label(&child.node) });
    let scored = names.map(|name| (strsim::jaro_winkler(&name, wanted), name));
    let (score, name) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    let step = if map { Step::Key(name) } else { Step::Item(name) };
    (score >= 0.7).then_some(step)
}
