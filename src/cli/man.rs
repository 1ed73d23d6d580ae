//! `qcc man`: the manual pages, made from what the commands say of themselves.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::args::Args;
use super::edit::{self, Failure};
use super::stdout;

/// What can be typed after `qcc man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// Directory that gets a page for every command. Default: print the one of `qcc`.
    dir: Option<PathBuf>,
}

/// Prints or writes pages.
pub(super) fn run(args: &ManArgs) -> ExitCode {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        // A buffer takes everything.
        drop(clap_mangen::Man::new(Args::command()).render(&mut page));
        return stdout::print(&String::from_utf8_lossy(&page), ExitCode::SUCCESS);
    };
    let failed = |error: std::io::Error| Failure::CouldNot(format!("`{}`: {error}", dir.display()));
    let written = std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Args::command(), dir));
    edit::end(written.map(|()| ExitCode::SUCCESS).map_err(failed))
}
