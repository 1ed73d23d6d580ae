//! Why a reference has no secret, in words fit for a status line: what was looked for is named, what was found never is.

use std::fmt;
use std::path::PathBuf;

use super::reference::Use;
use crate::config::Secret;
use crate::config::units::{Dur, Size};

/// The longest key or token.
const LONGEST: Size = Size(16 << 10);

/// Why a reference has no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// Neither the environment nor `.env` has this variable.
    NotSet(String),
    /// This file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// This program gave no secret.
    Command {
        /// The program, without its arguments.
        program: String,
        /// What it did instead.
        why: Failure,
    },
    /// Something was found, and it cannot be a secret.
    Unfit {
        /// Where it was found.
        source: String,
        /// What is wrong with it.
        why: Fault,
    },
    /// Nothing that serves traffic refers to it, so it was not looked for.
    Unused,
}

/// What a program did instead of printing a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It could not be run; the system's words.
    NotRun(String),
    /// Nobody runs it here: only the proxy does.
    Foreign,
    /// It has not answered yet.
    Running,
    /// It was killed after this long.
    TimedOut(Dur),
    /// It ended with this status.
    Exited(i32),
    /// A signal ended it.
    Killed,
    /// It printed more than this.
    Endless(Size),
    /// It printed nothing.
    Silent,
    /// It printed something that is not text.
    Binary,
}

/// What is wrong with a text that should be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is empty.
    Empty,
    /// It has a line break or NUL in it, which would end a header.
    Break,
    /// It has characters other than visible ASCII.
    Invisible,
    /// It is longer than 16 KiB.
    Long,
}

impl Unresolved {
    /// That what was found at `source` is wrong.
    pub(super) fn unfit(source: impl fmt::Display, why: Fault) -> Self {
        Self::Unfit { source: source.to_string(), why }
    }
}

impl Fault {
    /// What is wrong with `secret` for its use: a token must fit into a header, whose
    /// whole value may hold spaces, a private key may be any text.
    pub(super) fn of(secret: &Secret, kind: Use) -> Option<Self> {
        let text = secret.expose();
        if text.is_empty() {
            Some(Self::Empty)
        } else if kind == Use::Pem {
            None
        } else if text.contains(['\r', '\n', '\0']) {
            Some(Self::Break)
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic() || (byte == b' ' && kind == Use::Header)) {
            Some(Self::Invisible)
        } else {
            (text.len() as u64 > LONGEST.bytes()).then_some(Self::Long)
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet(name) => write!(f, "{name} is not set"),
            Self::Unreadable { path, why } => write!(f, "{} cannot be read: {why}", path.display()),
            Self::Command { program, why } => write!(f, "command {program} {why}"),
            Self::Unfit { source, why } => write!(f, "{source} {why}"),
            Self::Unused => f.write_str("nothing that serves traffic uses it"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRun(why) => write!(f, "cannot be run: {why}"),
            Self::Foreign => f.write_str("is run by the proxy only"),
            Self::Running => f.write_str("has not answered yet"),
            Self::TimedOut(after) => write!(f, "timed out after {after}"),
            Self::Exited(status) => write!(f, "exited with {status}"),
            Self::Killed => f.write_str("was ended by a signal"),
            Self::Endless(limit) => write!(f, "printed more than {limit}"),
            Self::Silent => f.write_str("printed nothing"),
            Self::Binary => f.write_str("printed something that is not text"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Break => f.write_str("has a line break or NUL in it"),
            Self::Invisible => f.write_str("has characters in it that are not visible ASCII"),
            Self::Long => write!(f, "is longer than {LONGEST}"),
        }
    }
}

impl std::error::Error for Unresolved {}
