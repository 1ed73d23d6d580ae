//! Putting new files where they belong, and keys beside them, without taking anything away.
//!
//! - A file that exists is never replaced; of two writers at once, one wins and the other is refused.
//! - A new file appears whole.
//! - `.env` is 0600 and a link is not followed.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use zeroize::Zeroizing;

use crate::config::Secret;

/// Lines of a .gitignore that cover a `.env` in their own directory.
const IGNORES: [&str; 5] = [".env", "/.env", ".env*", "*.env", "**/.env"];

/// Creates `path` with `text`, in one step, only if there is nothing.
pub(in crate::cli) fn create(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The umask takes its part, as with any new file.
    let mut builder = tempfile::Builder::new();
    let mut file =
        builder.prefix(".qcc-").permissions(Permissions::from_mode(0o666)).tempfile_in(directory).map_err(nameless)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map(drop).map_err(|refused| refused.error)
}

/// Without the name of the temporary file, which means nothing to anybody.
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
fn nameless(error: io::Error) -> io::Error {
    error.kind().into()
}

/// Appends `NAME=key` lines to the `.env` in `directory`.
pub(in crate::cli) fn add_keys(directory: &Path, keys: &[(String, Secret)]) -> io::Result<()> {
    let path = directory.join(".env");
    let before = read_or_empty(&path)?;
    let mut file = open_private(&path)?;
    if !before.is_empty() && !before.ends_with('\n') {
        file.write_all(b"\n")?;
    }
    for (name, key) in keys {
        file.write_all(Zeroizing::new(format!("{name}={}\n", key.expose())).as_bytes())?;
    }
    file.sync_all()
}

/// Opened to append, readable by its owner alone before anything is written.
fn open_private(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    let file = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(no_follow).open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

/// The names that the `.env` in `directory` gives a value, with those values.
pub(in crate::cli) fn env_lines(directory: &Path) -> io::Result<Vec<(String, Secret)>> {
    let text = read_or_empty(&directory.join(".env"))?;
    let pairs = text.lines().filter_map(|line| line.trim().trim_start_matches("export ").split_once('='));
    Ok(pairs.map(|(name, value)| (name.trim().to_owned(), Secret::new(value.trim()))).collect())
}

/// Keeps the `.env` in `directory` out of git, also of a repository that is made later, and says what it did or cannot do.
pub(in crate::cli) fn keep_from_git(directory: &Path) -> io::Result<()> {
    if ignore_env(directory)? {
        eprintln!("`.env` is now in .gitignore.");
    }
    if is_tracked(directory) {
        eprintln!(
            "warning: git tracks `.env` already, and ignores nothing it tracks; `git rm --cached .env` ends that"
        );
    }
    Ok(())
}

/// Makes git ignore the `.env` in `directory`; says whether that took a new line.
fn ignore_env(directory: &Path) -> io::Result<bool> {
    let top = repository(directory).unwrap_or_else(|| directory.to_path_buf());
    // The nearest file decides, and in it the last line.
    for folder in directory.ancestors().take_while(|folder| folder.starts_with(&top)) {
        let known = read_or_empty(&folder.join(".gitignore"))?;
        let about = |line: &&str| IGNORES.contains(line) && (folder == directory || *line != "/.env");
        let mut lines = known.lines().rev().map(str::trim_end);
        match lines.find(|line| about(&line.strip_prefix('!').unwrap_or(line))) {
            Some(line) if line.starts_with('!') => break,
            Some(_) => return Ok(false),
            None => {}
        }
    }
    let path = directory.join(".gitignore");
    let before = read_or_empty(&path)?;
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let start = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{start}.env\n").as_bytes())?;
    Ok(true)
}

/// Whether git has the `.env` in `directory` already. Only git knows; where there is none, nothing is tracked. What the
/// repository wants run beside git is not run.
fn is_tracked(directory: &Path) -> bool {
    let mut git = Command::new("git");
    git.args(["-c", "core.fsmonitor=false", "-C"]).arg(directory).args(["ls-files", "--error-unmatch", ".env"]);
    git.stdin(Stdio::null());
    git.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The top of the git working tree that `directory` is in.
fn repository(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|folder| folder.join(".git").exists()).map(Path::to_path_buf)
}

/// The text of a regular file. Asked before reading: a pipe would wait for a writer.
fn read_or_empty(path: &Path) -> io::Result<String> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(_) => fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
    }

    #[test]
    fn an_existing_file_is_never_replaced() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("qcc.yaml");
        create(&path, "first").expect("creates");
        assert_eq!(create(&path, "second").map_err(|e| e.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read_to_string(&path).expect("reads"), "first");
        assert_eq!(fs::read_dir(directory.path()).expect("lists").count(), 1, "the temporary file is gone");
    }

    #[test]
    fn of_many_at_once_one_wins() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("qcc.yaml");
        let won = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|i| {
                    scope.spawn({
                        let path = &path;
                        move || create(path, &i.to_string())
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).count()
        });
        assert_eq!(won, 1);
    }

    #[test]
    fn keys_are_appended_and_readable_by_the_owner_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join(".env");
        fs::write(&path, "A=1").expect("writes");
        add_keys(directory.path(), &[("B".to_owned(), Secret::new("two"))]).expect("appends");
        assert_eq!(fs::read_to_string(&path).expect("reads"), "A=1\nB=two\n");
        assert_eq!(mode(&path), 0o600);
        let lines = env_lines(directory.path()).expect("reads");
        assert_eq!(lines, [("A".to_owned(), Secret::new("1")), ("B".to_owned(), Secret::new("two"))]);
    }

    #[test]
    fn a_linked_env_file_is_not_followed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let target = directory.path().join("target");
        fs::write(&target, "").expect("writes");
        std::os::unix::fs::symlink(&target, directory.path().join(".env")).expect("links");
        add_keys(directory.path(), &[("B".to_owned(), Secret::new("two"))]).expect_err("refuses");
        assert_eq!(fs::read_to_string(&target).expect("reads"), "");
    }

    #[test]
    fn git_is_told_once() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let inner = root.path().join("inner");
        fs::create_dir_all(inner.join("deep")).expect("creates");
        fs::create_dir(root.path().join(".git")).expect("creates");
        fs::write(root.path().join(".gitignore"), "/target\n/.env").expect("writes");
        assert!(ignore_env(&inner).expect("`/.env` above does not cover a folder below"));
        assert!(!ignore_env(&inner).expect("already there"));
        assert_eq!(fs::read_to_string(inner.join(".gitignore")).expect("reads"), ".env\n");
        assert!(!ignore_env(root.path()).expect("covered by `/.env`"));
        assert!(!ignore_env(&inner.join("deep")).expect("covered from above"));
        fs::write(inner.join("deep/.gitignore"), ".env\n!.env\n").expect("writes");
        assert!(ignore_env(&inner.join("deep")).expect("the last line takes it back"));
        assert!(!ignore_env(&inner.join("deep")).expect("already there"));
    }

    #[test]
    fn a_repository_that_is_made_later_ignores_it_too() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::write(directory.path().join(".gitignore"), "/target").expect("writes");
        assert!(ignore_env(directory.path()).expect("no repository yet"));
        assert_eq!(fs::read_to_string(directory.path().join(".gitignore")).expect("reads"), "/target\n.env\n");
        assert!(!ignore_env(directory.path()).expect("already there"));
    }
}
