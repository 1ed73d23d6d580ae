//! `qcc queue`: requests that wait, and those that are tried again.
//!
//! What is shown is read from the state file, whether a proxy runs or not. What changes entries is asked of the running
//! proxy; without one it is done to the state file, but for retries, which need somebody who sends.

mod change;
mod config;
mod show;

use std::path::Path as File;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::edit;
use super::place::Place;
use crate::store::entries::State;

/// What can be done with the queue.
#[derive(Debug, Subcommand)]
pub(super) enum QueueCommand {
    /// Show what has been queued, retried, answered and given up, and what waits now.
    Status(Shape),
    /// List the entries, those that came last first.
    List(ListArgs),
    /// Show one entry with every try.
    Show(ShowArgs),
    /// Try a waiting or dead entry now. Needs a running proxy.
    Retry(NameArgs),
    /// Try all waiting and dead entries now. Needs a running proxy.
    RetryAll(SureArgs),
    /// Take one entry out.
    Remove(NameArgs),
    /// Take all entries out, or those of one state.
    Clear(ClearArgs),
    /// Change how requests wait and are tried again. Without flags: show it.
    Config(config::ConfigArgs),
}

/// How it is printed.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct Shape {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc queue list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// At most so many.
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    count: u32,
    /// Only those of this state: waiting, running, done or dead.
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    #[command(flatten)]
    shape: Shape,
}

/// What can be typed after `qcc queue show`.
#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    /// Name of the entry.
    id: String,
    /// Print the body that was sent, as it is.
    #[arg(long, conflicts_with_all = ["answer", "json"])]
    body: bool,
    /// Print the body that was answered, as it is.
    #[arg(long, conflicts_with = "json")]
    answer: bool,
    #[command(flatten)]
    shape: Shape,
}

/// What can be typed after `qcc queue retry` and `remove`.
#[derive(Debug, Args)]
pub(super) struct NameArgs {
    /// Name of the entry.
    id: String,
    #[command(flatten)]
    shape: Shape,
}

/// What can be typed after `qcc queue retry-all`.
#[derive(Debug, Args)]
pub(super) struct SureArgs {
    /// Do not ask.
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    shape: Shape,
}

/// What can be typed after `qcc queue clear`.
#[derive(Debug, Args)]
pub(super) struct ClearArgs {
    /// Only those of this state: waiting, running, done or dead.
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    #[command(flatten)]
    sure: SureArgs,
}

/// Runs `qcc queue ...`.
pub(super) fn run(command: &QueueCommand, named: Option<&File>) -> ExitCode {
    let place = || Place::of(named);
    edit::end(match command {
        QueueCommand::Config(args) => return config::run(args, named),
        QueueCommand::Status(shape) => place().and_then(|place| show::status(&place, *shape)),
        QueueCommand::List(args) => place().and_then(|place| show::list(&place, args)),
        QueueCommand::Show(args) => place().and_then(|place| show::one(&place, args)),
        QueueCommand::Retry(args) => place().and_then(|place| change::retry(&place, args)),
        QueueCommand::RetryAll(args) => place().and_then(|place| change::retry_all(&place, args)),
        QueueCommand::Remove(args) => place().and_then(|place| change::remove(&place, args)),
        QueueCommand::Clear(args) => place().and_then(|place| change::clear(&place, args)),
    })
}
