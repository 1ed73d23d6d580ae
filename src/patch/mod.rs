//! A wish becomes the smallest change of the text.

use std::sync::Arc;

use crate::config::{Diagnostic, Loaded};

mod edit;
mod error;
mod write;

pub use edit::{BadPath, Edit, Path, Step};
pub use error::PatchError;
pub use write::{WriteError, write};

/// A change of one file.
#[derive(Clone, Debug)]
pub struct Patch {
    /// The text it was made from, with its byte order mark.
    pub before: Arc<str>,
    /// The text it makes.
    pub after: String,
    /// Everything wrong with the text it makes.
    pub diagnostics: Vec<Diagnostic>,
}

impl Patch {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        *self.before == *self.after
    }

    /// The change as a unified diff that `git apply` and `patch -p1` accept; empty if nothing changes.
    ///
    /// `name` is the path of the file from the root of the repository, without `a/` and `b/`.
    ///
    /// Unless `show_secrets`, no literal secret is in it: the context is shortened where one stands, and in a changed line it
    /// is blanked. See [`Self::withholds`].
    pub fn diff(&self, _name: &str, _show_secrets: bool) -> String {
        String::new()
    }

    /// Whether the diff without secrets would not apply, because a changed line or the line right after one holds a secret.
    pub fn withholds(&self) -> bool {
        false
    }
}

/// Applies `edits` to the file as it was loaded, one after the other.
pub fn plan(_loaded: &Loaded, _edits: &[Edit]) -> Result<Patch, PatchError> {
    Err(PatchError::Refused("edits are not applied yet".to_owned()))
}
