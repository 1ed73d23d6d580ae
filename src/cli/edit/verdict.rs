//! What the running proxy says to a file that was just written.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::Sheet;
use crate::admin::client::ClientError;
use crate::admin::view::Verdict;
use crate::config::sha256;
use crate::patch::Patch;

/// How long the proxy may take to notice a save and try it: two looks at a filesystem without events.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// The proxy answered.
    Verdict(Verdict),
    /// A proxy seems to run, but gave no answer; why.
    Nothing(String),
}

/// Asks for the verdict on exactly what `patch` made of the file at `since` or later; `None` where no proxy runs it.
pub(super) fn hear(sheet: &Sheet, patch: &Patch, since: SystemTime) -> Option<Heard> {
    let sha256 = sha256(patch.after.as_bytes());
    let found = match sheet.found() {
        Ok(found) => found,
        Err(failure) => return Some(Heard::Nothing(failure.to_string())),
    };
    match found.client().and_then(|client| client.verdict(&sha256, since, PATIENCE)) {
        Ok(verdict) => Some(Heard::Verdict(verdict)),
        Err(ClientError::NotRunning(_)) => None,
        Err(error) => Some(Heard::Nothing(error.to_string())),
    }
}

impl Heard {
    /// A rejection is the only bad news.
    pub(super) fn code(&self) -> ExitCode {
        ExitCode::from(u8::from(matches!(self, Self::Verdict(Verdict::Rejected { .. }))))
    }

    /// For people.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Verdict(Verdict::Accepted { generation, restart_required }) => {
                let keys = restart_required.join(", ");
                let restart = if keys.is_empty() { String::new() } else { format!("; {keys} wait(s) for a restart") };
                format!("The running proxy accepted it as generation {generation}{restart}.")
            }
            Self::Verdict(Verdict::Rejected { rejection }) => {
                format!("The running proxy did not accept it and goes on with the file before:\n{}", rejection.report)
            }
            Self::Verdict(Verdict::Pending) => {
                format!("The running proxy has not taken it up within {} s; its log says more.", PATIENCE.as_secs())
            }
            Self::Nothing(why) => format!("Whether the running proxy accepted it is not known: {why}"),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Verdict(verdict) => json!(verdict),
            Self::Nothing(why) => json!({ "verdict": "unknown", "message": why }),
        }
    }
}
