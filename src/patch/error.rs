//! Why a file was not edited.

use std::fmt;

use super::edit::Path;
use crate::config::Diagnostic;

/// What cannot be done, and why. Nothing was changed. No part of it contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchError {
    /// The file cannot be read, or is not YAML from its first to its last line.
    Unreadable(Box<Diagnostic>),
    /// There is no such thing in the file.
    Missing {
        /// What was asked for.
        path: Path,
        /// The nearest path there is.
        nearest: Option<String>,
    },
    /// There is one already.
    Exists {
        /// What was to be added.
        path: Path,
    },
    /// What was asked for is written elsewhere: an alias or `<<` stands for it here.
    Shared {
        /// What was asked for.
        path: Path,
        /// The anchor it comes from, without `&`.
        anchor: String,
        /// The line of the alias, from 1.
        line: usize,
    },
    /// Other places take their value from here, and would change or break.
    Anchored {
        /// What was asked for.
        path: Path,
        /// The anchor, without `&`.
        anchor: String,
        /// The lines of its aliases, from 1.
        lines: Vec<usize>,
    },
    /// The file would have errors it does not have now.
    Invalid(Vec<Diagnostic>),
    /// It cannot be done safely; the reason is for people.
    Refused(String),
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(diagnostic) => {
                let Diagnostic { line, column, message, .. } = &**diagnostic;
                write!(f, "the file has to be readable before it can be edited: {line}:{column}: {message}")
            }
            Self::Missing { path, nearest: Some(nearest) } => {
                write!(f, "there is no `{path}`; did you mean `{nearest}`?")
            }
            Self::Missing { path, nearest: None } => write!(f, "there is no `{path}`"),
            Self::Exists { path } => write!(f, "there is a `{path}` already"),
            Self::Shared { path, anchor, line } => {
                write!(f, "`{path}` comes from the anchor `&{anchor}` by the alias on line {line}; edit it there")
            }
            Self::Anchored { path, anchor, lines } => {
                let lines = lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
                write!(
                    f,
                    "`{path}` belongs to the anchor `&{anchor}`, which is used on line {lines} too; edit it by hand"
                )
            }
            Self::Invalid(errors) => {
                f.write_str("the file would not be valid any more")?;
                errors.iter().try_for_each(|error| write!(f, "\n  {}", line(error)))
            }
            Self::Refused(reason) => f.write_str(reason),
        }
    }
}

fn line(error: &Diagnostic) -> String {
    let Diagnostic { path, message, help, code, .. } = error;
    let place = if path.is_empty() { String::new() } else { format!("`{path}`: ") };
    let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{place}{message}{help} ({code})")
}

impl std::error::Error for PatchError {}
