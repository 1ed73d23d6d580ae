//! `qcc queue config`: how requests wait and are tried again.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;

use crate::cli::edit::{self, EditArgs, Wishes};
use crate::config::units::Dur;

/// What can be typed after `qcc queue config`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed; `wishes` makes sense of them")]
pub(in crate::cli) struct ConfigArgs {
    /// Store requests that still failed, and try them again.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Store none. Requests still wait for as long as `--hold` says.
    #[arg(long)]
    disable: bool,
    /// How long a request waits for an endpoint that is expected back: seconds, or for example 30s; 0 does not wait.
    #[arg(long, value_name = "DURATION")]
    hold: Option<Dur>,
    /// When a stored request is tried again.
    #[arg(long, value_parser = ["exponential", "fixed", "immediate"])]
    strategy: Option<String>,
    /// First (exponential) or every (fixed) pause.
    #[arg(long, value_name = "DURATION")]
    base: Option<Dur>,
    /// Longest pause.
    #[arg(long, value_name = "DURATION")]
    max_delay: Option<Dur>,
    /// Retries before a stored request is given up.
    #[arg(long, value_name = "N")]
    max_retries: Option<u32>,
    /// Stored requests; more are refused.
    #[arg(long, value_name = "N")]
    max_entries: Option<u32>,
    /// How long answers and given-up requests are kept.
    #[arg(long, value_name = "DURATION")]
    keep: Option<Dur>,
    /// A request that is sent again gets the answer of its stored twin.
    #[arg(long, conflicts_with = "no_reuse")]
    reuse: bool,
    /// A request that is sent again is a new one.
    #[arg(long)]
    no_reuse: bool,
    #[command(flatten)]
    edit: EditArgs,
}

/// Changes the file, or shows what it says.
pub(super) fn run(args: &ConfigArgs, named: Option<&File>) -> ExitCode {
    edit::section(named, &args.edit, "queue", args.wishes(), |config| &config.queue)
}

impl ConfigArgs {
    fn wishes(&self) -> Wishes {
        Wishes::default()
            .either("enabled", self.enable, self.disable)
            .and("hold", self.hold)
            .and("strategy", self.strategy.as_ref())
            .and("base", self.base)
            .and("max_delay", self.max_delay)
            .and("max_retries", self.max_retries)
            .and("max_entries", self.max_entries)
            .and("keep", self.keep)
            .either("reuse", self.reuse, self.no_reuse)
    }
}
