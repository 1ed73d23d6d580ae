//! Follows a log file as it is written, over every time it is put aside: no line is missed and none is shown twice.
//!
//! A file that was put aside is known by its number on the disk (inode), so the one after it is found however many there
//! were between two looks.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::logs::aged;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// A place in a log file.
pub(super) struct Follower {
    path: PathBuf,
    file: File,
    position: u64,
}

impl Follower {
    /// Behind what is written so far.
    pub(super) fn at_the_end(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let position = file.metadata()?.len();
        Ok(Self { path: path.to_owned(), file, position })
    }

    /// Bytes of the file before this place.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Writes to `out` whatever is written, until that fails.
    pub(super) fn follow(mut self, out: &mut impl Write) -> io::Result<()> {
        loop {
            self.look(out)?;
            out.flush()?;
            sleep(LOOK);
        }
    }

    /// Writes to `out` what is there now.
    fn look(&mut self, out: &mut impl Write) -> io::Result<()> {
        loop {
            // Looked for first: what is written before it is put aside is then read below.
            let next = self.next()?;
            self.read(out)?;
            match next {
                Some(file) => (self.file, self.position) = (file, 0),
                None => return Ok(()),
            }
        }
    }

    fn read(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.file.metadata()?.len() < self.position {
            self.position = 0;
        }
        let mut piece = vec![0; PIECE];
        loop {
            let length = self.file.read_at(&mut piece, self.position)?;
            if length == 0 {
                return Ok(());
            }
            out.write_all(&piece[..length])?;
            self.position += length as u64;
        }
    }

    /// The file that was begun after this one; `None`: this is the last, or the next is not there yet.
    fn next(&self) -> io::Result<Option<File>> {
        let own = self.file.metadata()?;
        let mut younger = None;
        for age in 0.. {
            let file = match File::open(aged(&self.path, age)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound && age == 0 => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                opened => opened?,
            };
            if is_same(&file.metadata()?, &own) {
                return Ok(younger);
            }
            younger = Some(file);
        }
        // It was put aside so often that it is gone: on with the oldest.
        Ok(younger)
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is new, in words.
    fn seen(follower: &mut Follower) -> String {
        let mut out = Vec::new();
        follower.look(&mut out).expect("files");
        String::from_utf8(out).expect("text")
    }

    fn append(path: &Path, text: &str) {
        let file = File::options().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
    }

    fn put_aside(path: &Path) {
        for age in (0..3).rev().filter(|age| aged(path, *age).exists()) {
            std::fs::rename(aged(path, age), aged(path, age + 1)).expect("a file");
        }
    }

    #[test]
    fn nothing_is_missed_however_often_the_file_is_put_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        append(&path, "before\n");
        let mut follower = Follower::at_the_end(&path).expect("a file");
        assert_eq!(seen(&mut follower), "");
        append(&path, "one\n");
        assert_eq!(seen(&mut follower), "one\n");
        append(&path, "two\n");
        put_aside(&path);
        assert_eq!(seen(&mut follower), "two\n");
        append(&path, "three\n");
        put_aside(&path);
        append(&path, "four\n");
        put_aside(&path);
        append(&path, "five\n");
        assert_eq!(seen(&mut follower), "three\nfour\nfive\n");
        assert_eq!(seen(&mut follower), "");
    }

    #[test]
    fn a_file_that_is_gone_or_emptied_is_no_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        append(&path, "before\n");
        let mut follower = Follower::at_the_end(&path).expect("a file");
        std::fs::remove_file(&path).expect("it is there");
        assert_eq!(seen(&mut follower), "");
        append(&path, "new\n");
        assert_eq!(seen(&mut follower), "new\n");
        std::fs::write(&path, "a\n").expect("a file");
        assert_eq!(seen(&mut follower), "a\n");
    }
}
