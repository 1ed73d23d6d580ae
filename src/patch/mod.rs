//! A wish becomes the smallest change of the text.
//!
//! [`Edit`] (a value) -> `find` (where it is) -> `insert`, `remove`, `replace`, `reorder`, `shorthand` (which characters change)
//! -> [`plan`] (is it what was meant, and is it valid?) -> [`Patch::diff`] for people and git -> [`write()`] to disk.
//!
//! The text is never written anew from values: only the ranges an edit touches are replaced, in the style of what stands
//! beside them. That takes a tree of what is written (`tree`): comments, quotes, order, brackets, anchors, line ends stay
//! because nobody touches them.
//!
//! - after each edit the text is read again, and must say what the same edit makes of the plain values (`model`);
//! - an edit adds no error; a file that has some can still be repaired as long as it is YAML;
//! - nothing is changed through an alias or `<<`, nor anything that other places take by an alias;
//! - no edit, or one that changes nothing, gives the same bytes.
//!
//! It formats nothing: the file's style is its author's.

use std::sync::Arc;

use crate::config::{self, Diagnostic, Loaded, Severity};

mod diff;
mod edit;
mod editor;
mod error;
mod find;
mod insert;
mod model;
mod profile;
mod read;
mod remove;
mod render;
mod reorder;
mod replace;
mod scan;
mod set;
mod shorthand;
mod style;
#[cfg(test)]
mod tests;
mod tree;
mod write;

use diff::Diff;
use editor::Editor;

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
    pub fn diff(&self, name: &str, show_secrets: bool) -> String {
        Diff::new(&self.before, &self.after, !show_secrets).render(name)
    }

    /// Whether the diff without secrets would not apply, because a changed line or the line right after one holds a secret.
    pub fn withholds(&self) -> bool {
        Diff::new(&self.before, &self.after, true).withholds()
    }
}

/// Applies `edits` to the file as it was loaded, one after the other.
pub fn plan(loaded: &Loaded, edits: &[Edit]) -> Result<Patch, PatchError> {
    if let Some(diagnostic) = unreadable(loaded) {
        return Err(PatchError::Unreadable(Box::new(diagnostic.clone())));
    }
    let mut editor = Editor::new(&loaded.text)?;
    edits.iter().try_for_each(|edit| editor.apply(edit))?;
    let mark = if loaded.bom { "\u{FEFF}" } else { "" };
    let after = format!("{mark}{}", editor.text);
    let result = config::load_bytes(&loaded.path, after.as_bytes());
    let added = added(loaded, &result);
    if !added.is_empty() {
        return Err(PatchError::Invalid(added));
    }
    Ok(Patch { before: format!("{mark}{}", loaded.text).into(), after, diagnostics: result.diagnostics })
}

/// Why the text cannot be edited. It may be empty, and it may say wrong things, but it has to be YAML.
fn unreadable(loaded: &Loaded) -> Option<&Diagnostic> {
    let errors = || loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
    let unread = loaded.text.is_empty().then(|| errors().find(|error| error.code != "empty-file")).flatten();
    unread.or_else(|| if loaded.parsed { None } else { errors().next() })
}

/// Errors of `after` that `before` does not have. A repair may bring to light what was hidden behind the error it removes:
/// only more errors than before are too many.
fn added(before: &Loaded, after: &Loaded) -> Vec<Diagnostic> {
    let errors = |loaded: &Loaded| -> Vec<Diagnostic> {
        loaded.diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).cloned().collect()
    };
    let mut known: Vec<(&str, String)> = errors(before).into_iter().map(|error| (error.code, error.path)).collect();
    let new = errors(after).into_iter().filter(|error| {
        let at = known.iter().position(|(code, path)| *code == error.code && *path == error.path);
        at.map(|at| known.swap_remove(at)).is_none()
    });
    let new: Vec<Diagnostic> = new.collect();
    if after.errors() > before.errors() { new } else { Vec::new() }
}
