//! Data on standard output, and the last word on standard error.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use super::paint::painted;
use super::table::folded;

/// Writes `text`, and ends with `code`. A reader that has gone away (`| head`) is no failure; a full disk is: 2.
pub(super) fn print(text: &str, code: ExitCode) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => ExitCode::from(2),
        _ => code,
    }
}

/// Says on standard error why something was not done; on a terminal in lines that fit it.
pub(super) fn complain(text: &str) {
    let seen = io::stderr().is_terminal();
    eprint!("{}", if seen { folded(text) } else { format!("{text}\n") });
}

/// `text` for people, with its words of state in colour where that is seen.
pub(super) fn coloured(text: &str) -> String {
    painted(text, color())
}

/// Whether to colour: on a terminal, unless `NO_COLOR` is set.
pub(super) fn color() -> bool {
    let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !forbidden
}
