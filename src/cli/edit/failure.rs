//! Why a command did not do what it was asked.

use std::fmt;
use std::process::ExitCode;

use crate::cli::stdout;
use crate::patch::{BadPath, PatchError, WriteError};

/// Why nothing was done. The words are for people and hold no key.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// It must not be, or makes no sense with this file: exit code 1.
    Refused(String),
    /// It could not be tried, or was asked for incompletely: exit code 2.
    CouldNot(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Refused(why) | Self::CouldNot(why)) = self;
        f.write_str(why)
    }
}

impl From<PatchError> for Failure {
    fn from(error: PatchError) -> Self {
        match error {
            PatchError::Unreadable(_) => Self::CouldNot(error.to_string()),
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Changed { .. } => Self::Refused(error.to_string()),
            _ => Self::CouldNot(error.to_string()),
        }
    }
}

impl From<BadPath> for Failure {
    fn from(error: BadPath) -> Self {
        Self::CouldNot(error.to_string())
    }
}

/// The exit code of a command, after saying why it failed.
pub(in crate::cli) fn end(result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        stdout::complain(&format!("error: {failure}"));
        ExitCode::from(if matches!(failure, Failure::Refused(_)) { 1 } else { 2 })
    })
}
