//! A profile that is one endpoint becomes a profile with a list of one, so that the list can grow.

use serde_json::Value;

use super::edit::{Path, Step};
use super::editor::{Editor, Splice};
use super::error::PatchError;
use super::find::merged;
use super::model;
use super::render;
use super::replace::pad;
use super::scan;
use super::tree::{Child, Data, Node};

/// Longest line that a list of endpoints in brackets may make.
const WIDTH: usize = 90;

impl Editor {
    /// Moves the endpoint fields of the profile at `trail` into `endpoints`; says whether there were any.
    pub(super) fn write_out(&mut self, path: &Path, trail: &[usize], profile: &str) -> Result<bool, PatchError> {
        let node = self.tree.node(trail);
        let fields: Vec<usize> = (0..node.children().len())
            .filter(|at| node.children()[*at].name().is_some_and(model::is_endpoint_key))
            .collect();
        let merges = node.children().iter().any(|child| child.key.as_ref().is_some_and(|key| key.merge));
        // What makes a profile an endpoint.
        let is_merged = merged(node, &Step::Key("base_url".to_owned())).is_some();
        if fields.is_empty() && !is_merged {
            return Ok(false);
        }
        if merges {
            let reason = format!("the profile takes fields from `<<`; write `{path}` by hand first");
            return Err(PatchError::Refused(reason));
        }
        if node.is_flow() {
            return self.write_out_flow(trail, profile).map(|()| true);
        }
        let splices = self.write_out_lines(node, &fields, profile);
        self.splice(splices).map(|()| true)
    }

    /// Brackets hold a short list; a longer one gets lines.
    fn write_out_flow(&mut self, trail: &[usize], profile: &str) -> Result<(), PatchError> {
        let node = self.tree.node(trail);
        if scan::has_comment(&self.text, node.span.clone()) {
            let reason = format!(
                "`profiles.{profile}` is written in brackets with a comment in them; write its endpoints out by hand first"
            );
            return Err(PatchError::Refused(reason));
        }
        let has_alias = node.children().iter().any(|child| matches!(child.node.data, Data::Alias { .. }));
        if has_alias {
            let reason = format!(
                "`profiles.{profile}` is written in brackets with an alias in them; write its endpoints out by hand first"
            );
            return Err(PatchError::Refused(reason));
        }
        let Value::Object(mut spec) = node.to_value() else { return Ok(()) };
        model::write_out(&mut spec, profile);
        let value = Value::Object(spec);
        let width = self.style().inline(&value).chars().count();
        let flow = width <= WIDTH || self.in_flow(trail);
        self.replace_as(trail, &value, Some(flow))
    }

    fn write_out_lines(&self, node: &Node, fields: &[usize], profile: &str) -> Vec<Splice> {
        let style = self.style();
        let children = node.children();
        let column = scan::column(&self.text, children[0].head);
        let inner = column + style.dash + 1 + style.pad;
        let mut lines = vec![
            pad("endpoints:", column),
            pad(
                &format!("-{}id: {}", " ".repeat(style.pad), render::scalar(&profile.into(), None, false)),
                column + style.dash,
            ),
        ];
        for at in fields {
            let region = self.region(node, *at);
            lines.extend(self.text[region].lines().map(|line| pad(line, inner - column)));
        }
        let mut splices: Vec<Splice> = fields.iter().map(|at| (self.with_line_end(node, *at), String::new())).collect();
        let open = splices.iter().any(|(range, _)| range.end == self.text.len()) && !self.text.ends_with('\n');
        let at = self.after_all(children, fields, &splices);
        let block = lines.join(style.eol);
        splices.push((at..at, if open { block } else { format!("{block}{}", style.eol) }));
        splices
    }

    /// Behind everything the profile says itself.
    fn after_all(&self, children: &[Child], fields: &[usize], gone: &[Splice]) -> usize {
        let last = children.len() - 1;
        if fields.contains(&last) {
            return gone.last().map_or(self.text.len(), |(range, _)| range.end);
        }
        scan::next_line(&self.text, children[last].end())
    }

    fn with_line_end(&self, node: &Node, at: usize) -> std::ops::Range<usize> {
        let region = self.region(node, at);
        region.start..scan::next_line(&self.text, region.end)
    }
}
