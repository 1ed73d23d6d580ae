//! The `qcc` binary: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    qcc::cli::run()
}
