//! Keys on their way into the `.env` beside the file.

use std::path::Path;

use super::edit::Failure;
use super::files;
use crate::config::Secret;

/// A name and a key: a line of `.env`.
pub(super) type Line = (String, Secret);

/// Puts `keys` into the `.env` in `directory`, which git is told to ignore; says so.
pub(super) fn keep(directory: &Path, keys: &[Line]) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let failed = |name: &str, error: std::io::Error| {
        Failure::CouldNot(format!("`{}`: {error}; nothing was changed", directory.join(name).display()))
    };
    files::keep_from_git(directory).map_err(|error| failed(".gitignore", error))?;
    files::add_keys(directory, keys).map_err(|error| failed(".env", error))?;
    let names: Vec<&str> = keys.iter().map(|(name, _)| name.as_str()).collect();
    eprintln!("The key is in {} as {}; the file refers to it.", directory.join(".env").display(), names.join(", "));
    Ok(())
}
