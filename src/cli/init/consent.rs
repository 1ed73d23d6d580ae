//! Asking before anything of the user's is taken over.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use super::found::{Credential, Finding};
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
            false if io::stdin().is_terminal() && io::stderr().is_terminal() => Self::Ask,
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

/// Whether a new file refers to it anyway.
fn is_usual(finding: &Finding) -> bool {
    let Finding { name, credential, base_url, .. } = finding;
    (*name, credential, base_url.as_str()) == ("ANTHROPIC_API_KEY", &Credential::Variable, ANTHROPIC)
}

/// `[Y/n]`; no answer at all is a no.
fn ask(input: &mut impl BufRead, finding: &Finding) -> bool {
    eprint!("Found {}. Take it over? [Y/n] ", describe(finding));
    // A prompt that cannot be shown is answered all the same.
    drop(io::stderr().flush());
    let mut answer = String::new();
    let read = input.read_line(&mut answer).unwrap_or(0);
    read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "" | "y" | "yes")
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
    use crate::cli::init::layer::Source;
    use crate::config::Secret;
    use crate::config::model::Auth;

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
