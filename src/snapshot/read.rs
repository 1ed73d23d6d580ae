//! Reading small files that somebody else may be changing: bounded, and never stuck.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::config::units::Size;

/// The bytes of the regular file at `path`, links followed. More than `cap` bytes, a directory, a FIFO, a socket or a
/// device is an error; none of them is waited for.
pub(super) fn bounded(path: &Path, cap: Size) -> io::Result<Vec<u8>> {
    // Before opening: opening a device may do something.
    regular(&std::fs::metadata(path)?)?;
    let file = OpenOptions::new().read(true).custom_flags(nonblock()).open(path)?;
    // Again: another file may have taken its place.
    regular(&file.metadata()?)?;
    let mut bytes = Vec::new();
    file.take(cap.bytes() + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > cap.bytes() {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {cap}")));
    }
    Ok(bytes)
}

/// What went wrong, without the number of the error: `No such file or directory`.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error ").next().unwrap_or_default().to_owned()
}

fn regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory"));
    }
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

fn nonblock() -> i32 {
    rustix::fs::OFlags::NONBLOCK.bits().cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Size = Size(8);

    #[test]
    fn reads_up_to_the_cap_and_not_a_byte_more() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("file");
        for (text, fits) in [("", true), ("12345678", true), ("123456789", false)] {
            std::fs::write(&path, text).expect("writable");
            assert_eq!(bounded(&path, CAP).ok().as_deref(), fits.then_some(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_fifo_a_directory_and_a_missing_file_are_errors_that_do_not_hang() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let fifo = dir.path().join("fifo");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).expect("a FIFO");
        let shown = |path: &Path| words(&bounded(path, CAP).expect_err("not a regular file"));
        assert_eq!(shown(&fifo), "it is not a regular file");
        assert_eq!(shown(dir.path()), "it is a directory");
        assert_eq!(shown(&dir.path().join("none")), "No such file or directory");
    }
}
