//! `qcc schema`: the JSON Schema of `qcc.yaml`, for editors and for reviewers.

use std::process::ExitCode;

use super::stdout;

/// Prints the schema.
pub(super) fn run() -> ExitCode {
    stdout::print(&format!("{:#}\n", crate::config::schema()), ExitCode::SUCCESS)
}
