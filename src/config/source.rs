//! From a path to a text: whatever stands there, it is read soon or refused in words.
//!
//! - the kind and the size are looked at before anything is opened or read, so nothing waits and nothing large is read;
//! - the text is UTF-8 without a byte order mark and without NUL.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::diagnostic::{Diagnostic, LineIndex, Severity};

/// Largest file that is read. 10,000 endpoints have about 2 MiB.
pub const MAX_BYTES: u64 = 16 << 20;

/// Codes of files whose content was not seen.
pub(super) const UNREAD: [&str; 3] = ["file-missing", "file-unreadable", "not-a-file"];

/// Why there is no text to look at.
pub(super) struct Refusal {
    code: &'static str,
    message: String,
    help: Option<&'static str>,
    line: u32,
    column: u32,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None, line: 1, column: 1 }
    }

    fn help(self, help: &'static str) -> Self {
        Self { help: Some(help), ..self }
    }

    /// As it is shown.
    pub(super) fn diagnostic(self) -> Diagnostic {
        let Self { code, message, help, line, column } = self;
        let help = help.map(str::to_owned);
        Diagnostic { severity: Severity::Error, code, message, help, path: String::new(), span: None, line, column }
    }
}

/// The bytes of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    // Before opening: to open a named pipe waits for a writer, to open a device can do anything.
    regular(&std::fs::metadata(path).map_err(|error| unreadable(&error))?)?;
    let file = open(path).map_err(|error| unreadable(&error))?;
    // Once more: it may have been replaced in between.
    regular(&file.metadata().map_err(|error| unreadable(&error))?)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > MAX_BYTES { Err(too_large()) } else { Ok(bytes) }
}

fn regular(metadata: &Metadata) -> Result<(), Refusal> {
    match metadata.file_type() {
        kind if !kind.is_file() => Err(not_a_file(kind)),
        _ if metadata.len() > MAX_BYTES => Err(too_large()),
        _ => Ok(()),
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

fn unreadable(error: &io::Error) -> Refusal {
    match error.kind() {
        io::ErrorKind::NotFound => {
            Refusal::new("file-missing", "there is no such file").help("`qcc init` writes a first one")
        }
        io::ErrorKind::PermissionDenied => Refusal::new("file-unreadable", "this user may not read the file"),
        _ if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            Refusal::new("file-unreadable", "the symbolic links to the file go round in a circle")
        }
        io::ErrorKind::NotADirectory => Refusal::new("file-missing", "a part of the path is a file, not a directory"),
        _ => Refusal::new("file-unreadable", format!("the file cannot be read: {error}")),
    }
}

fn not_a_file(kind: FileType) -> Refusal {
    let what = match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a named pipe",
        kind if kind.is_socket() => "a socket",
        _ => "a device",
    };
    Refusal::new("not-a-file", format!("this is {what}, not a file"))
}

fn too_large() -> Refusal {
    Refusal::new("too-large", format!("the file is larger than {} MiB; it was not read", MAX_BYTES >> 20))
}

/// The text of `bytes`.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Refusal> {
    if bytes.len() as u64 > MAX_BYTES {
        return Err(too_large());
    }
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return Err(Refusal::new("not-utf8", "the file is UTF-16").help("save it as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| not_utf8(bytes, error.valid_up_to()))?;
    if let Some(nul) = memchr::memchr(0, bytes) {
        return Err(at(bytes, nul, Refusal::new("binary", "the file is binary: it contains a NUL byte")));
    }
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

fn not_utf8(bytes: &[u8], valid: usize) -> Refusal {
    let binary = memchr::memchr(0, bytes).is_some();
    let refusal = if binary {
        Refusal::new("binary", "the file is binary")
    } else {
        Refusal::new("not-utf8", "the file is not UTF-8").help("save it as UTF-8")
    };
    at(bytes, valid, refusal)
}

fn at(bytes: &[u8], offset: usize, refusal: Refusal) -> Refusal {
    let before = String::from_utf8_lossy(&bytes[..offset]);
    let before = before.strip_prefix('\u{FEFF}').unwrap_or(&before);
    let (line, column) = LineIndex::new(before).position(before.len());
    Refusal { line, column, ..refusal }
}
