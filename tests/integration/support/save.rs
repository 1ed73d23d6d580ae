//! The ways in which editors and tools save a file.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A way of saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// A new file renamed over the old one.
    Rename,
    /// Truncated and written in one go.
    InPlace,
    /// Truncated and written in pieces.
    Pieces,
    /// The old file renamed away, a new one written, the old one deleted: vim with `backupcopy=no`.
    Backup,
    /// Deleted, then created.
    Recreate,
    /// A symbolic link into another directory, swapped by a rename.
    Symlink,
    /// As Kubernetes mounts a ConfigMap: `qcc.yaml` points through `..data`, which is swapped.
    ConfigMap,
}

impl Style {
    pub(crate) const ALL: [Self; 7] =
        [Self::Rename, Self::InPlace, Self::Pieces, Self::Backup, Self::Recreate, Self::Symlink, Self::ConfigMap];

    /// Saves `text` at `path` in this way.
    pub(crate) async fn save(self, path: &Path, text: &str) {
        let beside = |suffix: &str| path.with_file_name(format!("qcc.yaml{suffix}"));
        match self {
            Self::Rename => {
                fs::write(beside(".new"), text).expect("the directory is ours");
                fs::rename(beside(".new"), path).expect("the directory is ours");
            }
            Self::InPlace => fs::write(path, text).expect("the directory is ours"),
            Self::Pieces => pieces(path, text).await,
            Self::Backup => {
                fs::rename(path, beside("~")).expect("the file is there");
                fs::write(path, text).expect("the directory is ours");
                fs::remove_file(beside("~")).expect("it was just made");
            }
            Self::Recreate => {
                fs::remove_file(path).expect("the file is there");
                fs::write(path, text).expect("the directory is ours");
            }
            Self::Symlink => swap_link(&version(path, text).join("qcc.yaml"), path),
            Self::ConfigMap => config_map(path, text),
        }
    }
}

/// Three pieces with pauses, the way a slow writer does it. The pauses are the scenario.
async fn pieces(path: &Path, text: &str) {
    let mut file = fs::File::create(path).expect("the directory is ours");
    for piece in text.as_bytes().chunks(text.len().div_ceil(3).max(1)) {
        file.write_all(piece).expect("there is room");
        file.sync_data().expect("there is room");
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
}

/// Writes `text` into a new directory beside `path`.
fn version(path: &Path, text: &str) -> PathBuf {
    let version = path.with_file_name(format!("..{}", fastrand::u64(..)));
    fs::create_dir(&version).expect("the directory is ours");
    fs::write(version.join("qcc.yaml"), text).expect("the directory is ours");
    version
}

/// Makes `link` point to `target`, in one step.
fn swap_link(target: &Path, link: &Path) {
    let beside = link.with_file_name("..link");
    symlink(target, &beside).expect("the directory is ours");
    fs::rename(beside, link).expect("the directory is ours");
}

fn config_map(path: &Path, text: &str) {
    swap_link(&version(path, text), &path.with_file_name("..data"));
    let through = Path::new("..data/qcc.yaml");
    if fs::read_link(path).ok().as_deref() != Some(through) {
        swap_link(through, path);
    }
}
