//! `qcc proxy`: runs the proxy.

use std::env;
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::claude::{self, ProxyUseArgs};

use crate::app::{self, Running};
use crate::config::locate;
use crate::config::model::Log;
use crate::snapshot::Snapshot;
use crate::telemetry::{Events, log};
use crate::upstream::profile::Profile;

/// Could not do what was asked.
const COULD_NOT: u8 = 2;

/// What can be done with the proxy.
#[derive(Debug, Subcommand)]
pub(super) enum ProxyCommand {
    /// Run the proxy in the foreground until SIGTERM or Ctrl-C.
    Start(StartArgs),
    /// Point Claude Code at the proxy: the same as `qcc use --proxy`.
    Use(ProxyUseArgs),
}

/// What can be typed after `qcc proxy start`.
#[derive(Debug, Args)]
pub(super) struct StartArgs {
    /// If the file is not valid, start from the last one that was accepted, and say so.
    #[arg(long)]
    use_last_good: bool,
}

/// Runs `qcc proxy ...`.
pub(super) fn run(command: &ProxyCommand, config: Option<&Path>) -> ExitCode {
    match command {
        ProxyCommand::Start(args) => start(args, config),
        ProxyCommand::Use(args) => claude::point_at_proxy(args, config),
    }
}

fn start(args: &StartArgs, config: Option<&Path>) -> ExitCode {
    let path = match find(config) {
        Ok(path) => path,
        Err(why) => return could_not(&why),
    };
    let (log, events) = (Arc::new(log::init(&Log::default())), Events::new());
    let options = app::Options {
        config: path.clone(),
        log: Some(Arc::clone(&log)),
        events,
        signals: true,
        sole: true,
        use_last_good: args.use_last_good,
    };
    match app::start(options) {
        Ok(mut running) => {
            announce(&running, &path);
            running.wait();
            log.flush();
            ExitCode::SUCCESS
        }
        Err(error) => {
            log.flush();
            could_not(&error.to_string())
        }
    }
}

fn find(config: Option<&Path>) -> Result<PathBuf, String> {
    let cwd = env::current_dir().map_err(|error| format!("the current directory is not there: {error}"))?;
    let variable = |name: &str| -> Option<OsString> { env::var_os(name) };
    locate(config, &variable, &cwd).map(|path| cwd.join(path)).map_err(|error| error.to_string())
}

fn could_not(why: &str) -> ExitCode {
    eprintln!("qcc: {why}");
    ExitCode::from(COULD_NOT)
}

fn announce(running: &Running, path: &Path) {
    let scheme = if running.tls { "https" } else { "http" };
    let snapshot = running.cell.load();
    let mut lines: Vec<String> =
        running.addresses.iter().map(|address| format!("listening on {scheme}://{address}")).collect();
    lines.extend(describe(&snapshot));
    lines.push(format!("running {} (generation {})", path.display(), snapshot.generation));
    let text: Vec<String> = lines.into_iter().map(|line| format!("qcc: {line}\n")).collect();
    // Nobody may be there to read it; the proxy runs all the same.
    let _ = std::io::stderr().write_all(text.concat().as_bytes());
}

/// Profiles by tier, with their endpoints; the active one is marked.
fn describe(snapshot: &Snapshot) -> Vec<String> {
    if !snapshot.serves() {
        return vec!["nothing to serve yet: no profile with a tier has an enabled endpoint".to_owned()];
    }
    let active = snapshot.active_profile().map(|profile| &profile.name);
    snapshot.chain.iter().map(|profile| line(profile, Some(&profile.name) == active)).collect()
}

fn line(profile: &Profile, active: bool) -> String {
    let endpoints: Vec<&str> = profile.endpoints.iter().map(|endpoint| &*endpoint.id.id).collect();
    let mark = if active { " (active)" } else { "" };
    format!("{:<9} {}{mark}: {}", profile.tier.as_str(), profile.name, endpoints.join(", "))
}
