//! One look at the files: what is in the main one, and whether the others are still the same.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::quiet::Sight;
use crate::config::units::Size;
use crate::snapshot::read;

/// The largest file that is read.
const CAP: Size = Size(crate::config::MAX_BYTES);

/// What a file holds, or why it cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// Its bytes.
    Bytes(Bytes),
    /// It could not be read.
    Unreadable(io::ErrorKind, String),
}

impl Text {
    /// Reads the file at `path`.
    pub(super) fn of(path: &Path) -> Self {
        match read::bounded(path, CAP) {
            Ok(bytes) => Self::Bytes(bytes.into()),
            Err(error) => Self::Unreadable(error.kind(), read::words(&error)),
        }
    }

    /// This text as somebody sees it who knows `current`.
    pub(super) fn beside(&self, current: &Self) -> Sight {
        match (self, current) {
            (new, old) if new == old => Sight::Same,
            (Self::Unreadable(..), _) => Sight::Partial,
            (Self::Bytes(new), Self::Bytes(old)) if old.starts_with(new) => Sight::Partial,
            // Nothing is known yet, but nobody saves an empty file on purpose.
            (Self::Bytes(new), Self::Unreadable(..)) if new.is_empty() => Sight::Partial,
            _ => Sight::Whole,
        }
    }

    /// The text as the standard library would give it.
    pub(super) fn to_io(&self) -> io::Result<Bytes> {
        match self {
            Self::Bytes(bytes) => Ok(bytes.clone()),
            Self::Unreadable(kind, why) => Err(io::Error::new(*kind, why.clone())),
        }
    }
}

/// Tells one content of a file from the next without reading it (it may be a secret): device, inode, size, times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64, u64, u64, [i64; 4]);

/// The stamps of some files; none where there is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stamps(BTreeMap<PathBuf, Option<Stamp>>);

impl Stamps {
    /// The stamps of `files` now.
    pub(super) fn of(files: impl IntoIterator<Item = PathBuf>) -> Self {
        Self(files.into_iter().map(|path| (path.clone(), stamp(&path))).collect())
    }

    /// The files.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        self.0.keys().cloned().collect()
    }

    /// The same files, with the stamps of `other` where it has some.
    pub(super) fn renewed(&self, other: &Self) -> Self {
        Self(self.0.iter().map(|(path, stamp)| (path.clone(), *other.0.get(path).unwrap_or(stamp))).collect())
    }

    /// These stamps as somebody sees them who knows `told`.
    pub(super) fn beside(&self, told: &Self) -> Sight {
        if self == told { Sight::Same } else { Sight::Whole }
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let entry = std::fs::metadata(path).ok()?;
    let times = [entry.mtime(), entry.mtime_nsec(), entry.ctime(), entry.ctime_nsec()];
    Some(Stamp(entry.dev(), entry.ino(), entry.size(), times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_the_current_text_and_no_file_are_partial() {
        let text = |text: &'static str| Text::Bytes(Bytes::from_static(text.as_bytes()));
        let gone = Text::Unreadable(io::ErrorKind::NotFound, String::new());
        for (new, current, expected) in [
            (text("a: 1"), text("a: 1"), Sight::Same),
            (gone.clone(), gone.clone(), Sight::Same),
            (text("a: "), text("a: 1"), Sight::Partial),
            (text(""), text("a: 1"), Sight::Partial),
            (gone.clone(), text("a: 1"), Sight::Partial),
            (text(""), gone.clone(), Sight::Partial),
            (text("a: 12"), text("a: 1"), Sight::Whole),
            (text("b"), text("a: 1"), Sight::Whole),
            (text("a: 1"), gone.clone(), Sight::Whole),
        ] {
            assert_eq!(new.beside(&current), expected, "{new:?} beside {current:?}");
        }
    }
}
