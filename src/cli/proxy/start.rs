//! `qcc proxy start`: the proxy in this process.

use std::io::{self, Write};
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::{Site, daemon};
use crate::app::lock::Holder;
use crate::app::{self, Running};
use crate::config::model::Log;
use crate::snapshot::Snapshot;
use crate::telemetry::Events;
use crate::telemetry::log::{self, LogHandle};
use crate::upstream::profile::Profile;

/// How it is to run.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag that is typed or not")]
pub(in crate::cli) struct StartArgs {
    /// Run in the background: returns once it listens, or says why it could not.
    #[arg(short, long)]
    daemon: bool,
    /// Log to the file that `qcc proxy logs` shows instead of standard error; it is rotated. Always so with --daemon.
    #[arg(long)]
    log_file: bool,
    /// If the file is not valid, start from the last one that was accepted, and say so.
    #[arg(long)]
    use_last_good: bool,
    /// Be what --daemon starts.
    #[arg(long, hide = true, conflicts_with = "daemon")]
    detached: bool,
}

/// Runs the command.
pub(super) fn run(args: &StartArgs, site: &Site) -> Result<ExitCode, String> {
    if args.daemon {
        return daemon::start(site, args.use_last_good);
    }
    if args.detached {
        // Whatever is typed into the terminal is not meant for it. Where a session of its own cannot be had, it has one.
        let _ = rustix::process::setsid();
    }
    let log = Arc::new(log::init(&Log::default()));
    let log_file = args.log_file || args.detached;
    let shared = Some(Arc::clone(&log));
    let started = app::start(app::Options {
        config: site.path.clone(),
        log: shared,
        events: Events::new(),
        signals: true,
        sole: true,
        use_last_good: args.use_last_good,
        log_file,
    });
    let ended = started.map_err(|error| error.to_string()).and_then(|mut running| {
        if args.detached {
            turn_away(&running, &site.path, &log)?;
        } else {
            announce(&running, &site.path);
        }
        running.wait();
        Ok(ExitCode::SUCCESS)
    });
    log.flush();
    ended
}

/// Turns away from those who started it, once they have been told who it is.
fn turn_away(running: &Running, path: &Path, log: &LogHandle) -> Result<(), String> {
    let starter = io::stdout().as_fd().try_clone_to_owned().map_err(|error| error.to_string())?;
    let holder = running.holder().ok_or("it has no lock")?;
    let file = holder.log.as_deref().ok_or("it has no log file")?;
    log.move_streams(file).map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
    // A directory that is in use could not be removed; that of the file is.
    drop(std::env::set_current_dir(path.parent().unwrap_or(Path::new("/"))));
    announce(running, path);
    tell(starter, &holder);
    Ok(())
}

/// Nobody may be there any more; the proxy runs all the same.
fn tell(starter: OwnedFd, holder: &Holder) {
    let text = serde_json::to_vec(holder).unwrap_or_default();
    let _ = std::fs::File::from(starter).write_all(&text);
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
