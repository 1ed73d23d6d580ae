//! From what is taken over to what is written. Pure: what `.env` and the environment hold is passed in.

use super::found::{Credential, Finding};
use super::layer::Source;
use super::starter::{self, Reference, Start};
use crate::config::Secret;

/// What will be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// The new qcc.yaml.
    pub(super) text: String,
    /// Lines to add to `.env`.
    pub(super) keys: Vec<(String, Secret)>,
}

/// Variable names that have a meaning already.
pub(super) struct Names<'a> {
    /// Lines of the `.env` beside the file.
    pub(super) stored: &'a [(String, Secret)],
    /// Whether the environment, which wins over `.env`, has a variable.
    pub(super) is_set: &'a dyn Fn(&str) -> bool,
}

impl Plan {
    /// A file that starts with what was `chosen`, or with what new users have.
    pub(super) fn new(chosen: &[&Finding], names: &Names<'_>) -> Self {
        let mut keys = Vec::new();
        let mut starts: Vec<Start> = Vec::new();
        for finding in chosen {
            let id = free(&label(&finding.base_url), "-", |id| starts.iter().all(|start| start.id != id));
            let key = match &finding.credential {
                Credential::Variable => Reference::Env(finding.name.to_owned()),
                Credential::Helper(text) => Reference::Shell(text.clone()),
                Credential::Key(key) => Reference::Env(names.store(finding.name, key, &mut keys)),
            };
            starts.push(start(finding, id, key));
        }
        if starts.is_empty() {
            starts.push(Start::usual());
        }
        Self { text: starter::text(&starts), keys }
    }
}

impl Names<'_> {
    /// The name under which `.env` holds `key`: one that is there with this very key, or one of the `new` lines.
    fn store(&self, name: &str, key: &Secret, new: &mut Vec<(String, Secret)>) -> String {
        // Not the plain name: the shell may hold a placeholder for Claude Code under it, and the environment wins.
        let wanted = format!("QCC_{name}");
        let same =
            |(known, held): &&(String, Secret)| held == key && known.starts_with(&wanted) && !(self.is_set)(known);
        if let Some((known, _)) = self.stored.iter().find(same) {
            return known.clone();
        }
        let unused = |name: &str| !(self.is_set)(name) && self.stored.iter().all(|(known, _)| known != name);
        let name = free(&wanted, "_", unused);
        new.push((name.clone(), key.clone()));
        name
    }
}

fn start(finding: &Finding, id: String, key: Reference) -> Start {
    let from = match finding.source {
        Source::Environment => "the environment",
        Source::User(_) | Source::Project(_) => "Claude Code's settings",
    };
    Start { id, base_url: finding.base_url.clone(), key, auth: finding.auth, from: Some(from) }
}

/// `name`, or the first of `name-2`, `name-3` and so on that is free.
fn free(name: &str, dash: &str, is_free: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u32..).map(|n| format!("{name}{dash}{n}"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| is_free(name)).expect("numbers do not run out")
}

/// An endpoint's id: its host, without what most hosts begin with.
fn label(base_url: &str) -> String {
    let uri = base_url.parse::<http::Uri>().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("endpoint").trim_matches(['[', ']']);
    let host = host.strip_prefix("api.").unwrap_or(host);
    host.strip_suffix("anthropic.com").map_or(host, |_| "anthropic").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_bytes;
    use crate::config::model::{Auth, Config};
    use crate::config::secret::SecretSpec;

    fn finding(name: &'static str, credential: Credential, base_url: &str, auth: Auth) -> Finding {
        let source = match credential {
            Credential::Variable => Source::Environment,
            _ => Source::User("/home/user/.claude/settings.json".into()),
        };
        Finding { source, name, credential, base_url: base_url.to_owned(), auth }
    }

    fn valid(text: &str) -> Config {
        let loaded = load_bytes(std::path::Path::new("/nowhere/qcc.yaml"), text.as_bytes());
        assert!(loaded.diagnostics.is_empty(), "{:?}\n{text}", loaded.diagnostics);
        loaded.config.expect("no diagnostics")
    }

    const NOTHING: Names<'static> = Names { stored: &[], is_set: &|_| false };

    #[test]
    fn with_nothing_chosen_it_refers_to_the_usual_variable() {
        let plan = Plan::new(&[], &NOTHING);
        let config = valid(&plan.text);
        let fields = &config.profiles["main"].endpoints[0].fields;
        assert_eq!(fields.base_url, "https://api.anthropic.com");
        assert_eq!(fields.api_key.as_ref().map(ToString::to_string), Some("env ANTHROPIC_API_KEY".to_owned()));
        assert!(plan.keys.is_empty());
    }

    #[test]
    fn what_is_commented_out_is_valid_and_shows_the_defaults() {
        let plan = Plan::new(&[], &NOTHING);
        let uncommented: Vec<String> = plan.text.lines().map(uncomment).collect();
        let config = valid(&uncommented.join("\n"));
        assert_eq!(config.profiles.keys().collect::<Vec<_>>(), ["main", "backup"]);
        assert_eq!(config.profiles["main"].endpoints.len(), 2);
        let defaults = Config::default();
        assert_eq!(
            (config.failover, config.timeouts, config.log),
            (defaults.failover, defaults.timeouts, defaults.log)
        );
    }

    /// A comment that begins with a key is a piece of YAML.
    fn uncomment(line: &str) -> String {
        let indent = line.len() - line.trim_start().len();
        let Some(text) = line.trim_start().strip_prefix("# ") else { return line.to_owned() };
        let word = text.trim_start().trim_start_matches("- ").split(':').next().unwrap_or_default();
        let is_key = text.contains(':') && word.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        if is_key { format!("{}{text}", &line[..indent]) } else { line.to_owned() }
    }

    #[test]
    fn everything_chosen_is_referred_to_and_nothing_is_shown() {
        let relay = "https://api.z.ai/api/anthropic";
        let chosen = [
            finding("ANTHROPIC_AUTH_TOKEN", Credential::Key(Secret::new("sk-canary")), relay, Auth::Bearer),
            finding("ANTHROPIC_API_KEY", Credential::Variable, relay, Auth::XApiKey),
            finding("apiKeyHelper", Credential::Helper("~/k 'a' \"b\" # c: \\".to_owned()), relay, Auth::Bearer),
        ];
        let plan = Plan::new(&chosen.each_ref(), &NOTHING);
        assert!(!plan.text.contains("canary"));
        assert_eq!(plan.keys, [("QCC_ANTHROPIC_AUTH_TOKEN".to_owned(), Secret::new("sk-canary"))]);

        let endpoints = &valid(&plan.text).profiles["main"].endpoints;
        let shown: Vec<_> = endpoints.iter().map(|e| (e.id.as_str(), e.fields.auth, e.fields.priority)).collect();
        assert_eq!(shown, [("z.ai", Auth::Bearer, 1), ("z.ai-2", Auth::XApiKey, 2), ("z.ai-3", Auth::Bearer, 3)]);
        assert!(endpoints.iter().all(|endpoint| endpoint.fields.base_url == relay));
        let Some(SecretSpec::Command(helper)) = &endpoints[2].fields.api_key else { panic!("{endpoints:?}") };
        assert_eq!(helper.command, ["/bin/sh", "-c", "~/k 'a' \"b\" # c: \\"]);
    }

    #[test]
    fn a_stored_key_never_hides_behind_another() {
        let key = Secret::new("new");
        let chosen = finding("ANTHROPIC_API_KEY", Credential::Key(key.clone()), "https://r.example", Auth::XApiKey);
        let stored = [("QCC_ANTHROPIC_API_KEY".to_owned(), Secret::new("old"))];
        let is_set = |name: &str| name == "QCC_ANTHROPIC_API_KEY_2";
        let plan = Plan::new(&[&chosen], &Names { stored: &stored, is_set: &is_set });
        assert_eq!(plan.keys, [("QCC_ANTHROPIC_API_KEY_3".to_owned(), key.clone())]);

        let stored = [("QCC_ANTHROPIC_API_KEY".to_owned(), key)];
        let plan = Plan::new(&[&chosen], &Names { stored: &stored, is_set: &|_| false });
        assert!(plan.keys.is_empty() && plan.text.contains("env: QCC_ANTHROPIC_API_KEY "), "{}", plan.text);
    }

    #[test]
    fn ids_and_addresses_survive_whatever_they_look_like() {
        for (url, id) in [
            ("https://api.anthropic.com", "anthropic"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("http://[::1]:8080/x", "::1"),
            ("https://on", "on"),
            ("https://relay.example/a'b", "relay.example"),
        ] {
            let chosen = finding("ANTHROPIC_API_KEY", Credential::Variable, url, Auth::XApiKey);
            let config = valid(&Plan::new(&[&chosen], &NOTHING).text);
            let endpoint = &config.profiles["main"].endpoints[0];
            assert_eq!((endpoint.id.as_str(), endpoint.fields.base_url.as_str()), (id, url));
        }
    }
}
