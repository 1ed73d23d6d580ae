//! For people: excerpts, then one line per file.

use super::is_valid;
use crate::config::{Config, Loaded};

pub(super) fn render(loaded: &[Loaded], deny_warnings: bool, color: bool) -> String {
    let parts = loaded.iter().flat_map(|loaded| [loaded.report(color), summary(loaded, deny_warnings)]);
    parts.collect()
}

/// One line: `qcc.yaml: valid, 2 profiles, 3 endpoints, 1 warning`
fn summary(loaded: &Loaded, deny_warnings: bool) -> String {
    let mut parts = vec![if is_valid(loaded, deny_warnings) { "valid" } else { "invalid" }.to_owned()];
    if let Some(config) = &loaded.config {
        parts.push(count(config.profiles.len(), "profile"));
        parts.push(count(endpoints(config), "endpoint"));
    }
    let found = [(loaded.errors(), "error"), (loaded.warnings(), "warning")];
    parts.extend(found.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| count(n, what)));
    format!("{}: {}\n", loaded.path.display(), parts.join(", "))
}

fn endpoints(config: &Config) -> usize {
    config.profiles.values().map(|profile| profile.endpoints.len() + usize::from(profile.shorthand.is_some())).sum()
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
