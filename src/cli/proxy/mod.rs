//! `qcc proxy`: runs the proxy, in the foreground or in the background, and asks after the one that runs.
//!
//! A command finds its proxy by the file, see [`crate::app::search`].

mod daemon;
mod follow;
mod launchd;
mod logs;
mod service;
mod site;
mod start;
mod status;
mod stop;
mod systemd;

use std::path::Path;
use std::process::ExitCode;

use clap::Subcommand;

use self::logs::LogsArgs;
use self::service::ServiceArgs;
use self::site::Site;
use self::start::StartArgs;
use self::status::StatusArgs;
use self::stop::StopArgs;
use super::claude::{self, ProxyUseArgs};
use super::stdout;

/// Found nothing that could be asked.
const NOTHING: u8 = 1;
/// Could not do what was asked.
const COULD_NOT: u8 = 2;

/// What can be done with the proxy.
#[derive(Debug, Subcommand)]
pub(super) enum ProxyCommand {
    /// Run the proxy until SIGTERM or Ctrl-C; with --daemon in the background.
    Start(StartArgs),
    /// Stop the proxy: requests in progress are finished first.
    Stop(StopArgs),
    /// Stop the proxy and start it again, in the background.
    Restart(StopArgs),
    /// Show whether the proxy runs, where, and since when.
    Status(StatusArgs),
    /// Show the log of the proxy in the background.
    Logs(LogsArgs),
    /// Have systemd or launchd run the proxy from the login on; says how to enable it.
    InstallService(ServiceArgs),
    /// Point Claude Code at the proxy: the same as `qcc use --proxy`.
    Use(ProxyUseArgs),
}

/// Runs `qcc proxy ...`.
pub(super) fn run(command: &ProxyCommand, config: Option<&Path>) -> ExitCode {
    let site = || Site::find(config);
    let done = match command {
        ProxyCommand::Start(args) => site().and_then(|site| start::run(args, &site)),
        ProxyCommand::Stop(args) => site().and_then(|site| stop::run(args, &site)),
        ProxyCommand::Restart(args) => site().and_then(|site| daemon::restart(args, &site)),
        ProxyCommand::Status(args) => site().and_then(|site| status::run(args, &site)),
        ProxyCommand::Logs(args) => site().and_then(|site| logs::run(args, &site)),
        ProxyCommand::InstallService(args) => site().and_then(|site| service::run(args, &site)),
        ProxyCommand::Use(args) => Ok(claude::point_at_proxy(args, config)),
    };
    done.unwrap_or_else(|why| {
        stdout::complain(&format!("qcc: {why}"));
        ExitCode::from(COULD_NOT)
    })
}
