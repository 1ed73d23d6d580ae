//! The settings as they were, beside the settings: `settings.json.qcc-1`, `-2` and so on, the last one the newest.
//!
//! - Readable by their owner alone: old settings may hold a key.
//! - An empty one says that there were no settings.
//! - A way back is used up when it was taken; of many the oldest go.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Ways back that are kept.
const KEPT: usize = 10;

/// Keeps `text` as what the settings at `path` were.
pub(super) fn keep(path: &Path, text: &str) -> io::Result<PathBuf> {
    let known = all(path)?;
    let next = known.last().map_or(1, |(number, _)| number + 1);
    let backup = path.with_file_name(format!("{}{next}", prefix(path)));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&backup)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all())?;
    let surplus = (known.len() + 1).saturating_sub(KEPT);
    // One that stays is no harm.
    known.iter().take(surplus).for_each(|(_, old)| drop(fs::remove_file(old)));
    Ok(backup)
}

/// The newest way back.
pub(super) fn newest(path: &Path) -> io::Result<Option<PathBuf>> {
    Ok(all(path)?.pop().map(|(_, backup)| backup))
}

/// Every way back with its number, the newest last.
fn all(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let prefix = prefix(path);
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.strip_prefix(&prefix)?.parse().ok());
        found.extend(number.map(|number| (number, entry.path())));
    }
    found.sort_unstable();
    Ok(found)
}

fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{name}.qcc-")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_newest_is_found_and_the_oldest_go() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("settings.json");
        assert_eq!(newest(&path).expect("lists"), None);
        for text in 1..=12 {
            keep(&path, &text.to_string()).expect("writes");
        }
        let last = newest(&path).expect("lists").expect("there are some");
        assert_eq!(fs::read_to_string(&last).expect("reads"), "12");
        assert_eq!(fs::metadata(&last).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).expect("lists").count(), KEPT);
    }
}
