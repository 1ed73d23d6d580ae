//! The accepted files that the proxy of a file has kept, for the commands that look at them.

use super::edit::{Failure, Sheet};
use crate::config::{Config, alike, blanked, load_bytes};
use crate::snapshot::accepted::{Accepted, Revision};

/// What is kept of one file.
pub(super) struct Kept {
    accepted: Accepted,
    /// The oldest first.
    pub(super) revisions: Vec<Revision>,
}

impl Kept {
    /// Looks where the proxy of the file keeps them.
    pub(super) fn of(sheet: &Sheet) -> Result<Self, Failure> {
        let state = sheet.found()?.instance.state;
        let accepted = Accepted::of(&state);
        let unreadable = |error| Failure::CouldNot(format!("`{}`: {error}", state.display()));
        Ok(Self { revisions: accepted.list().map_err(unreadable)?, accepted })
    }

    /// The newest; without one there is nothing to compare with.
    pub(super) fn latest(&self) -> Option<&Revision> {
        self.revisions.last()
    }

    /// The text of a revision, its keys blanked.
    pub(super) fn text(&self, number: u64) -> Result<String, Failure> {
        let found = self.revisions.iter().find(|revision| revision.number == number);
        let revision = found.ok_or_else(|| Failure::Refused(self.missing(number)))?;
        let unreadable = |error| Failure::CouldNot(format!("revision {number}: {error}"));
        self.accepted.text(revision).map_err(unreadable)
    }

    fn missing(&self, number: u64) -> String {
        match (self.revisions.first(), self.latest()) {
            (Some(first), Some(last)) => {
                format!(
                    "there is no revision {number}; {} to {} are kept, see `qcc config history`",
                    first.number, last.number
                )
            }
            _ => "no accepted file is kept: no proxy has run this file yet".to_owned(),
        }
    }
}

/// What a text says, for comparison: keys in clear are all alike.
pub(super) fn comparable(text: &str) -> Option<Config> {
    let config = load_bytes(std::path::Path::new("/qcc.yaml"), blanked(text).as_bytes()).config?;
    let text = serde_json::to_string(&config).ok()?;
    serde_json::from_str(&alike(&text)).ok()
}
