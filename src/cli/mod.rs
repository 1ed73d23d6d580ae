//! Words in, words out: what was typed, one function per command, and how answers are printed.
//!
//! Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 refused or found something, 2 could not.

mod args;
mod demo;
mod init;
mod proxy;
mod schema;
mod stdout;
mod validate;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    let args = Args::parse();
    match args.command {
        // One line per command; each lives in a file of its noun.
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&init, args.config.as_deref()),
        Command::Proxy(proxy) => proxy::run(&proxy, args.config.as_deref()),
        Command::Validate(validate) => validate::run(&validate, args.config.as_deref()),
        Command::Schema => schema::run(),
    }
}
