//! `qcc proxy logs`: the log of the proxy in the background.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use super::follow::Follower;
use super::{NOTHING, Site};
use crate::app::lock::Holder;

/// Bytes that are read at once, from the end.
const PIECE: u64 = 64 << 10;

/// What is shown of it.
#[derive(Debug, Args)]
pub(in crate::cli) struct LogsArgs {
    /// How many of the last lines are shown.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: usize,
    /// Show lines as they are written, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

/// Runs the command.
pub(super) fn run(args: &LogsArgs, site: &Site) -> Result<ExitCode, String> {
    let found = site.found()?;
    let path = match &found.holder {
        Some(Holder { log: Some(log), .. }) => log.clone(),
        Some(holder) => {
            eprintln!("qcc: process {} logs to its standard error; the log file is of an earlier one", holder.pid);
            found.instance.log()
        }
        None => found.instance.log(),
    };
    if !path.exists() {
        eprintln!("qcc: there is no `{}`; `qcc proxy start --daemon` writes one", path.display());
        return Ok(ExitCode::from(NOTHING));
    }
    let could_not = |error: io::Error| format!("`{}` cannot be shown: {error}", path.display());
    match show(args, &path) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(could_not(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn show(args: &LogsArgs, path: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let follower = Follower::at_the_end(path)?;
    out.write_all(&last_lines(path, args.lines, follower.position())?)?;
    out.flush()?;
    if args.follow { follower.follow(&mut out) } else { Ok(()) }
}

/// The file that was put aside as number `age`; 0: the one that is being written.
pub(super) fn aged(path: &Path, age: usize) -> PathBuf {
    if age == 0 {
        return path.to_owned();
    }
    let mut name = OsString::from(path);
    name.push(format!(".{age}"));
    name.into()
}

/// The last `wanted` lines before byte `end` of the file at `path`, going back into those put aside.
fn last_lines(path: &Path, wanted: usize, end: u64) -> io::Result<Vec<u8>> {
    let mut pieces = Vec::new();
    let mut missing = wanted;
    for age in 0.. {
        let file = match File::open(aged(path, age)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && age > 0 => break,
            opened => opened?,
        };
        let end = if age == 0 { end } else { file.metadata()?.len() };
        let lines = tail(&file, missing, end)?;
        missing -= count(&lines).min(missing);
        pieces.push(lines);
        if missing == 0 {
            break;
        }
    }
    pieces.reverse();
    Ok(pieces.concat())
}

/// The last `wanted` lines before byte `end`.
fn tail(file: &File, wanted: usize, end: u64) -> io::Result<Vec<u8>> {
    let (mut start, mut text) = (end, Vec::new());
    while start > 0 && count(&text) <= wanted {
        let from = start.saturating_sub(PIECE);
        let mut piece = vec![0; usize::try_from(start - from).unwrap_or_default()];
        file.read_exact_at(&mut piece, from)?;
        piece.extend_from_slice(&text);
        (start, text) = (from, piece);
    }
    let surplus = count(&text).saturating_sub(wanted);
    let skipped = text.split_inclusive(|byte| *byte == b'\n').take(surplus).map(<[u8]>::len).sum();
    Ok(text.split_off(skipped))
}

/// Lines, also one that has not ended.
fn count(text: &[u8]) -> usize {
    text.split_inclusive(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &Path, wanted: usize) -> String {
        let end = path.metadata().expect("a file").len();
        String::from_utf8(last_lines(path, wanted, end).expect("files")).expect("text")
    }

    #[test]
    fn the_last_lines_are_looked_for_in_older_files_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        for (age, text) in ["five\nsix", "three\nfour\n", "one\ntwo\n"].iter().enumerate() {
            std::fs::write(aged(&path, age), text).expect("a file");
        }
        assert_eq!(shown(&path, 0), "");
        assert_eq!(shown(&path, 1), "six");
        assert_eq!(shown(&path, 2), "five\nsix");
        assert_eq!(shown(&path, 3), "four\nfive\nsix");
        assert_eq!(shown(&path, 100), "one\ntwo\nthree\nfour\nfive\nsix");
    }

    #[test]
    fn long_files_are_read_from_their_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("proxy.log");
        let lines: Vec<String> = (0..20_000).map(|number| format!("line {number}\n")).collect();
        std::fs::write(&path, lines.concat()).expect("a file");
        for wanted in [1, 2, 5_000, 6_000, 19_999, 20_000, 30_000] {
            assert_eq!(shown(&path, wanted), lines[20_000_usize.saturating_sub(wanted)..].concat(), "{wanted}");
        }
    }
}
