//! From what is taken over to what is written. Pure: what `.env` and the environment hold is passed in.

use super::found::{Credential, Finding};
use super::layer::Source;
use super::starter::{self, Reference, Start};
use crate::config::Secret;
use crate::import::address::label;
use crate::import::{Names, free};

/// What will be written.
#[derive(Debug)]
pub(super) struct Plan {
    /// The new qcc.yaml.
    pub(super) text: String,
    /// Lines to add to `.env`.
    pub(super) keys: Vec<(String, Secret)>,
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
                // Not the plain name: the shell may hold a placeholder for Claude Code under it, and the environment wins.
                Credential::Key(key) => {
                    Reference::Env(names.store(&format!("QCC_{}", finding.name), key, &|_| false, &mut keys))
                }
            };
            starts.push(start(finding, id, key));
        }
        if starts.is_empty() {
            starts.push(Start::usual());
        }
        Self { text: starter::text(&starts), keys }
    }
}

fn start(finding: &Finding, id: String, key: Reference) -> Start {
    let from = match finding.source {
        Source::Environment => Some("the environment"),
        Source::User(_) | Source::Project(_) => Some("Claude Code's settings"),
        Source::Typed => None,
    };
    Start { id, base_url: finding.base_url.clone(), key, auth: finding.auth, from }
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

    const NOTHING: Names<'static> = Names { stored: &[], env: &|_| None };

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
        let env = |name: &str| (name == "QCC_ANTHROPIC_API_KEY_2").then(|| Secret::new("other"));
        let plan = Plan::new(&[&chosen], &Names { stored: &stored, env: &env });
        assert_eq!(plan.keys, [("QCC_ANTHROPIC_API_KEY_3".to_owned(), key.clone())]);

        let stored = [("QCC_ANTHROPIC_API_KEY".to_owned(), key)];
        let plan = Plan::new(&[&chosen], &Names { stored: &stored, env: &|_| None });
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
