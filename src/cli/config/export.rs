//! `qcc config export`: the configuration that holds, as a file of its own.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::stdout;
use crate::config::{blanked, exported};

/// What can be typed after `qcc config export`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ExportArgs {
    /// How it is written; qcc reads both.
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// In lines.
    Yaml,
    /// In brackets.
    Json,
}

/// Runs the command.
pub(super) fn run(args: &ExportArgs, named: Option<&Path>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| export(&sheet, args)))
}

fn export(sheet: &Sheet, args: &ExportArgs) -> Result<ExitCode, Failure> {
    let value = exported(sheet.config()?);
    let text = match args.format {
        Format::Json => format!("{value:#}\n"),
        Format::Yaml => {
            let text = serde_yaml::to_string(&value);
            text.map_err(|error| Failure::CouldNot(format!("it cannot be written as YAML: {error}")))?
        }
    };
    if blanked(sheet.text()) != sheet.text() {
        eprintln!("What stands in clear in the file is blanked here: keys, header values, passwords in addresses.");
    }
    Ok(stdout::print(&text, ExitCode::SUCCESS))
}
