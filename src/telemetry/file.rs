//! The log file of a proxy in the background: it grows to a size, is then put aside under a number, and only so many
//! are kept: `proxy.log`, `proxy.log.1` (the one before), `proxy.log.2` ...
//!
//! - No line is split between two files.
//! - What the process itself prints (a panic) goes to the same file, also after it was put aside: standard output and
//!   error are moved along.
//! - A file that cannot be put aside is written on; it is tried again a size later.
//! - Mode 0600; a symbolic link in its place is not followed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use file_rotate::compression::Compression;
use file_rotate::suffix::AppendCount;
use file_rotate::{ContentLimit, FileRotate};
use rustix::fs::OFlags;

use crate::config::model::Log;

/// What a reload may change, and whether the process's own streams follow the file.
#[derive(Debug, Default)]
pub(super) struct Rotation {
    max_bytes: AtomicU64,
    max_files: AtomicUsize,
    streams: AtomicBool,
}

impl Rotation {
    pub(super) fn apply(&self, log: &Log) {
        self.max_bytes.store(log.max_bytes.bytes(), Ordering::Relaxed);
        self.max_files.store(usize::try_from(log.max_files).unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

/// A log file that is being written.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    rotation: Arc<Rotation>,
}

impl LogFile {
    /// Writes to the end of `path`; its directory is there.
    pub(super) fn open(path: &Path, rotation: Arc<Rotation>) -> io::Result<Self> {
        let file = options().open(path)?;
        let size = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, size, rotation })
    }

    /// How much of `lines` goes into the file before it is put aside: whole ones, and into an empty one at least one.
    fn fitting(&self, lines: &[u8]) -> usize {
        let room = self.rotation.max_bytes.load(Ordering::Relaxed).saturating_sub(self.size);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if lines.len() <= room {
            return lines.len();
        }
        let first = if self.size == 0 { memchr::memchr(b'\n', lines).unwrap_or(lines.len() - 1) + 1 } else { 0 };
        memchr::memrchr(b'\n', &lines[..room]).map_or(first, |end| end + 1)
    }

    fn put_aside(&mut self) -> io::Result<()> {
        self.size = 0;
        match self.rotate() {
            Ok(()) => Ok(()),
            Err(error) => writeln!(self.file, "the log file could not be put aside: {error}"),
        }
    }

    fn rotate(&mut self) -> io::Result<()> {
        // The library is asked anew each time: what others did to the files meanwhile must not confuse it.
        let keep = AppendCount::new(self.rotation.max_files.load(Ordering::Relaxed));
        FileRotate::new(&self.path, keep, ContentLimit::None, Compression::None, Some(options())).rotate()?;
        self.file = options().open(&self.path)?;
        if self.rotation.streams.load(Ordering::Acquire) {
            take_streams(&self.file)?;
        }
        Ok(())
    }
}

impl Write for LogFile {
    /// Takes whole lines.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let mut rest = lines;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            self.file.write_all(now)?;
            self.size += now.len() as u64;
            rest = later;
            if !rest.is_empty() {
                self.put_aside()?;
            }
        }
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Moves standard output and error of the process to the log file at `path`, and keeps them there when it is put aside.
pub(super) fn move_streams(path: &Path, rotation: &Rotation) -> io::Result<()> {
    rotation.streams.store(true, Ordering::Release);
    take_streams(&options().open(path)?)
}

fn take_streams(file: &File) -> io::Result<()> {
    rustix::stdio::dup2_stdout(file)?;
    Ok(rustix::stdio::dup2_stderr(file)?)
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    options
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::config::units::Size;

    fn rotation(max_bytes: u64, max_files: u32) -> Arc<Rotation> {
        let rotation = Arc::new(Rotation::default());
        rotation.apply(&Log { max_bytes: Size(max_bytes), max_files, ..Log::default() });
        rotation
    }

    fn held(dir: &Path) -> Vec<(String, String)> {
        let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
        let read = |path: PathBuf| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("text"))
        };
        let mut all: Vec<_> = entries.map(read).collect();
        all.sort();
        all
    }

    fn write(file: &mut LogFile, lines: &[&str]) {
        for line in lines {
            file.write_all(line.as_bytes()).expect("a file of ours");
        }
    }

    fn pairs(all: &[(String, String)]) -> Vec<(&str, &str)> {
        all.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect()
    }

    #[test]
    fn files_are_put_aside_whole_and_the_oldest_goes() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        let mut file = LogFile::open(&path, rotation(8, 2)).expect("a file");
        write(&mut file, &["one\n", "two\n", "three\n", "four\n", "much longer than a file\n", "six\n"]);
        assert_eq!(
            pairs(&held(dir.path())),
            [("proxy.log", "six\n"), ("proxy.log.1", "much longer than a file\n"), ("proxy.log.2", "four\n")]
        );
        let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn lines_that_come_together_are_parted_between_files() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        let mut file = LogFile::open(&path, rotation(8, 9)).expect("a file");
        write(&mut file, &["one\ntwo\nthree\nmuch longer than a file\nfive\n", "6\n"]);
        let texts = ["five\n6\n", "much longer than a file\n", "three\n", "one\ntwo\n"];
        assert_eq!(held(dir.path()).into_iter().map(|(_, text)| text).collect::<Vec<_>>(), texts);
    }

    #[test]
    fn it_goes_on_where_it_was_and_sizes_change_while_it_runs() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        write(&mut LogFile::open(&path, rotation(8, 2)).expect("a file"), &["before\n"]);
        let rotation = rotation(100, 2);
        let mut file = LogFile::open(&path, Arc::clone(&rotation)).expect("a file");
        write(&mut file, &["after\n"]);
        assert_eq!(pairs(&held(dir.path())), [("proxy.log", "before\nafter\n")]);
        rotation.apply(&Log { max_bytes: Size(14), max_files: 1, ..Log::default() });
        write(&mut file, &["more\n"]);
        assert_eq!(pairs(&held(dir.path())), [("proxy.log", "more\n"), ("proxy.log.1", "before\nafter\n")]);
    }

    #[test]
    fn whatever_others_do_to_the_files_it_is_written_on() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        let mut file = LogFile::open(&path, rotation(4, 2)).expect("a file");
        write(&mut file, &["one\n"]);
        std::fs::write(dir.path().join("proxy.log.1"), "theirs\n").expect("a file");
        write(&mut file, &["two\n"]);
        std::fs::remove_file(&path).expect("it is there");
        write(&mut file, &["three\n"]);
        let all = held(dir.path());
        assert_eq!(all.first().map(|(_, text)| text.as_str()), Some("three\n"), "{all:?}");
    }
}
