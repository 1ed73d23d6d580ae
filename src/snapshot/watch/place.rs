//! Where to listen so that no way of replacing a file goes unheard.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

/// Links followed on one path, as the kernel limits them.
const LINKS: usize = 40;

/// A file or directory, whatever its name: device and inode.
pub(super) type Inode = (u64, u64);

/// Adds to `places` every directory with an entry that decides where `path` leads (the parents of all links on the way
/// and of the file), and the file itself: a bind-mounted one is written without its directory knowing. What is missing
/// is awaited in the nearest directory that exists.
pub(super) fn trail(path: &Path, places: &mut BTreeSet<PathBuf>) {
    let (mut at, mut links) = (PathBuf::from("/"), 0);
    let mut ahead: Vec<OsString> = backwards(path);
    while let Some(name) = ahead.pop() {
        let next = at.join(&name);
        match std::fs::symlink_metadata(&next) {
            Ok(entry) if entry.is_symlink() && links < LINKS => {
                links += 1;
                ahead.extend(std::fs::read_link(&next).map(|target| backwards(&target)).unwrap_or_default());
                places.insert(at.clone());
            }
            Ok(_) if name == ".." => drop(at.pop()),
            Ok(_) => at = next,
            Err(_) => {
                places.insert(at);
                return;
            }
        }
    }
    places.extend(at.parent().map(Path::to_owned));
    places.insert(at);
}

/// The names of `path`, last first. A leading `/` is a name too: joined to anything it leads to the root.
fn backwards(path: &Path) -> Vec<OsString> {
    let names = path.components().filter(|part| *part != Component::CurDir);
    names.map(|part| part.as_os_str().to_owned()).rev().collect()
}

/// The places that are listened to. Without a watcher (none exists here, or none is left) nothing is heard.
pub(super) struct Ears {
    watcher: Option<RecommendedWatcher>,
    places: BTreeMap<PathBuf, Inode>,
}

impl Ears {
    /// Hears through `watcher`.
    pub(super) const fn new(watcher: Option<RecommendedWatcher>) -> Self {
        Self { watcher, places: BTreeMap::new() }
    }

    /// Listens where `paths` can change now. `anew`: also where it listened before, as after an event: a directory
    /// that was removed and made again may have its old inode, and nobody listens to it.
    pub(super) fn turn_to(&mut self, paths: &[PathBuf], anew: bool) {
        if anew {
            self.listen(BTreeMap::new());
        }
        // Twice: what moved before the first time was not heard.
        for _ in 0..2 {
            let mut places = BTreeSet::new();
            for path in paths {
                trail(path, &mut places);
            }
            let known = places.into_iter().filter_map(|path| inode(&path).map(|inode| (path, inode)));
            self.listen(known.collect());
        }
    }

    fn listen(&mut self, places: BTreeMap<PathBuf, Inode>) {
        let Some(watcher) = self.watcher.as_mut().filter(|_| places != self.places) else { return };
        // What cannot be listened to is found by the slow tick.
        for path in self.places.keys() {
            drop(watcher.unwatch(path));
        }
        for path in places.keys() {
            drop(watcher.watch(path, RecursiveMode::NonRecursive));
        }
        self.places = places;
    }
}

fn inode(path: &Path) -> Option<Inode> {
    std::fs::metadata(path).ok().map(|entry| (entry.dev(), entry.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// The trail of `path` below `root`, as written.
    fn shown(root: &Path, path: &str) -> Vec<String> {
        let mut places = BTreeSet::new();
        trail(&root.join(path), &mut places);
        let below = places.iter().filter_map(|place| place.strip_prefix(root).ok());
        below.map(|place| format!("/{}", place.display())).collect()
    }

    #[test]
    fn every_directory_that_decides_where_a_path_leads_is_listened_to() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = dir.path().canonicalize().expect("it exists");
        for sub in ["plain", "mount/..v1", "links", "releases/v1", "site"] {
            std::fs::create_dir_all(root.join(sub)).expect("a directory");
        }
        for file in ["plain/q", "mount/..v1/q", "releases/v1/q"] {
            std::fs::write(root.join(file), "").expect("a file");
        }
        for (link, target) in [
            ("mount/..data", "..v1"),
            ("mount/q", "..data/q"),
            ("links/q", "../plain/./q"),
            ("releases/now", "v1"),
            ("links/loop", "loop"),
        ] {
            symlink(target, root.join(link)).expect("a link");
        }
        symlink(root.join("releases/now"), root.join("site/conf")).expect("an absolute link");
        for (path, expected) in [
            ("plain/q", vec!["/plain", "/plain/q"]),
            ("mount/q", vec!["/mount", "/mount/..v1", "/mount/..v1/q"]),
            ("links/q", vec!["/links", "/plain", "/plain/q"]),
            ("site/conf/q", vec!["/releases", "/releases/v1", "/releases/v1/q", "/site"]),
            ("plain/none", vec!["/plain"]),
            ("none/none/q", vec!["/"]),
            ("links/loop", vec!["/links", "/links/loop"]),
        ] {
            assert_eq!(shown(&root, path), expected, "{path}");
        }
    }
}
