//! Asking before anything of the user's is taken over.

use std::io::{self, BufRead};

use super::found::{Credential, Finding};
use super::layer::Source;
use crate::cli::edit::Failure;
use crate::cli::prompt;
use crate::config::model::Auth;
use crate::import::address::ANTHROPIC;

/// Whether to take something over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    /// `--yes`.
    Given,
    /// A person is there to be asked.
    Ask,
    /// Nobody is there.
    Withheld,
}

impl Consent {
    /// `--yes`, or whether somebody is there to be asked.
    pub(super) fn of(yes: bool) -> Self {
        match yes {
            true => Self::Given,
            false if prompt::somebody() => Self::Ask,
            false => Self::Withheld,
        }
    }

    /// What is taken over of `findings`; says so.
    pub(super) fn choose(self, findings: &[Finding]) -> Vec<&Finding> {
        match self {
            Self::Given => findings.iter().inspect(|finding| eprintln!("Taking over {}.", describe(finding))).collect(),
            Self::Ask => findings.iter().filter(|finding| ask(&mut io::stdin().lock(), finding)).collect(),
            Self::Withheld => {
                let left: Vec<_> = findings.iter().filter(|finding| !is_usual(finding)).collect();
                for finding in &left {
                    eprintln!("Found, not taken over: {}.", source(finding));
                }
                if !left.is_empty() {
                    eprintln!("To take it over, remove the new file and run `qcc init --yes`.");
                }
                Vec::new()
            }
        }
    }
}

impl Consent {
    /// The key of a new user, if there is a person to type it.
    pub(super) fn key(self) -> Result<Option<Finding>, Failure> {
        if self != Self::Ask {
            return Ok(None);
        }
        let question = format!("Key for {ANTHROPIC}, to be kept in `.env` (not shown; return: later): ");
        let typed = prompt::key(&mut io::stdin().lock(), &question)?;
        let (name, base_url, auth) = ("ANTHROPIC_API_KEY", ANTHROPIC.to_owned(), Auth::XApiKey);
        Ok(typed.map(|key| Finding { source: Source::Typed, name, credential: Credential::Key(key), base_url, auth }))
    }
}

/// Whether a new file refers to it anyway.
fn is_usual(finding: &Finding) -> bool {
    let Finding { name, credential, base_url, .. } = finding;
    (*name, credential, base_url.as_str()) == ("ANTHROPIC_API_KEY", &Credential::Variable, ANTHROPIC)
}

/// `[Y/n]`; no answer at all is a no.
fn ask(input: &mut impl BufRead, finding: &Finding) -> bool {
    let answer = prompt::line(input, &format!("Found {}. Take it over? [Y/n] ", describe(finding)));
    answer.is_ok_and(|answer| matches!(answer.to_ascii_lowercase().as_str(), "" | "y" | "yes"))
}

/// The finding in words, and what becomes of its key.
fn describe(finding: &Finding) -> String {
    let becomes = match finding.credential {
        Credential::Variable => "the new file refers to the variable",
        Credential::Key(_) => "the key goes into `.env` beside the new file",
        Credential::Helper(_) => "the proxy will run it as `command:`",
    };
    format!("{} ({becomes})", source(finding))
}

fn source(finding: &Finding) -> String {
    let Finding { source, name, base_url, .. } = finding;
    format!("{name} in {source} for {base_url}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn finding() -> Finding {
        Finding {
            source: Source::User("/home/user/.claude/settings.json".into()),
            name: "ANTHROPIC_API_KEY",
            credential: Credential::Key(Secret::new("sk-canary")),
            base_url: ANTHROPIC.to_owned(),
            auth: Auth::XApiKey,
        }
    }

    #[test]
    fn return_is_a_yes_and_silence_is_a_no() {
        for (answer, taken) in
            [("\n", true), ("Y\n", true), ("yes\n", true), ("n\n", false), ("what?\n", false), ("", false)]
        {
            assert_eq!(ask(&mut answer.as_bytes(), &finding()), taken, "{answer:?}");
        }
    }

    #[test]
    fn without_consent_nothing_is_taken_and_with_it_everything() {
        let findings = [finding()];
        assert!(Consent::Withheld.choose(&findings).is_empty());
        assert_eq!(Consent::Given.choose(&findings).len(), 1);
    }

    #[test]
    fn a_finding_is_described_without_its_key() {
        let shown = describe(&finding());
        assert!(shown.contains("settings.json") && shown.contains(".env") && !shown.contains("canary"), "{shown}");
    }
}
