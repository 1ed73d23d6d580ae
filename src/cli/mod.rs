//! Words in, words out: what was typed, one function per command, and how answers are printed.
//!
//! Data goes to stdout, talk to stderr. Exit codes: 0 done, 1 refused or found something, 2 could not.

mod accepted;
mod args;
mod claude;
mod complete;
mod config;
mod demo;
mod edit;
mod endpoint;
mod explain;
mod files;
mod health;
mod import;
mod init;
mod keys;
mod later;
mod man;
mod paint;
mod paths;
mod place;
mod plan;
mod priority;
mod profile;
mod prompt;
mod proxy;
mod queue;
mod schema;
mod seen;
mod status;
mod stdout;
mod table;
mod validate;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use self::args::{Args, Command};

/// Runs the command line of this process.
pub fn run() -> ExitCode {
    crate::telemetry::redact::guard_panics();
    complete::answer();
    let args = Args::parse();
    let config = args.config.or_else(from_environment);
    let config = config.as_deref();
    match args.command {
        // One line per command; each lives in a file of its noun.
        Command::Demo(demo) => demo::run(&demo),
        Command::Init(init) => init::run(&init, config),
        Command::Import(args) => import::run(&args, config),
        Command::Add(add) => profile::add(&add, config),
        Command::List(list) => profile::list(&list, config),
        Command::Remove(remove) => profile::remove(&remove, config),
        Command::Rename(rename) => profile::rename(&rename, config),
        Command::Default(default) => profile::default(&default, config),
        Command::Use(args) => claude::point(&args, config),
        Command::Env(args) => claude::env(&args, config),
        Command::Run(args) => claude::run(&args, config),
        Command::Key(args) => claude::key(&args, config),
        Command::Status(args) => status::run(&args, config),
        Command::Explain(args) => explain::run(&args, config),
        Command::Endpoint(endpoint) => endpoint::run(&endpoint, config),
        Command::Priority(priority) => priority::run(&priority, config),
        Command::Health(health) => health::run(&health, config),
        Command::Queue(queue) => queue::run(&queue, config),
        Command::Config(command) => config::run(&command, config),
        Command::Proxy(proxy) => proxy::run(&proxy, config),
        Command::Plan(args) => plan::plan(&args, config),
        Command::Diff => plan::diff(config),
        Command::Validate(validate) => validate::run(&validate, config),
        Command::Schema => schema::run(),
        Command::Completions(args) => complete::run(&args),
        Command::Man(args) => man::run(&args),
    }
}

/// What `QCC_CONFIG` names; empty is as good as not set, as everywhere.
fn from_environment() -> Option<PathBuf> {
    std::env::var_os("QCC_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from)
}
