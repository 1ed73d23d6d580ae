//! Rules over a file whose shape is right: what its values mean together.
//!
//! Each rule is a small function that looks at one thing; [`RULES`] is the list of them. Rules report where a value stands in
//! the file as written, see [`Scope::endpoints`].

use std::path::Path;

use super::diagnostic::Finding;
use super::document::Document;
use super::model::{Config, EndpointFields, ProfileSpec};
use super::place::Place;
use super::salvage::Cuts;

/// What the rules look at.
pub(super) struct Scope<'a> {
    pub(super) config: &'a Config,
    document: &'a Document<'a>,
    cuts: &'a Cuts,
    path: &'a Path,
}

impl<'a> Scope<'a> {
    pub(super) fn new(config: &'a Config, document: &'a Document<'a>, cuts: &'a Cuts, path: &'a Path) -> Self {
        Self { config, document, cuts, path }
    }
}

type Rule = fn(&Scope<'_>, &mut Vec<Finding>);

const RULES: &[Rule] = &[];

/// Everything the rules find.
pub(super) fn check(scope: &Scope<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    RULES.iter().for_each(|rule| rule(scope, &mut findings));
    findings
}

/// The schema accepted what the types do not: a mistake of ours, never of the file. The cause is left out, it may quote values.
pub(super) fn unreadable_shape() -> Finding {
    Finding::error("unreadable-shape", &Place::root(), "this configuration cannot be read, although it fits the schema")
        .help("please report this as a bug")
}
