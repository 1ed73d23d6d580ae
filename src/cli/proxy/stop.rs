//! `qcc proxy stop`: asks the proxy to end, waits until it has, and says whether it has.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use rustix::process::{Pid, Signal, kill_process};

use super::{NOTHING, Site};
use crate::app::lock::Holder;

/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(25);
/// How long one waits before it is said that one waits.
const SILENCE: Duration = Duration::from_millis(300);
/// What the end takes besides the drain.
const PARTING: Duration = Duration::from_secs(5);

/// How it is to end.
#[derive(Debug, Args)]
pub(in crate::cli) struct StopArgs {
    /// End requests in progress instead of waiting for them.
    #[arg(long)]
    now: bool,
}

/// Runs the command.
pub(super) fn run(args: &StopArgs, site: &Site) -> Result<ExitCode, String> {
    let Some(holder) = site.holder()? else {
        eprintln!("qcc: {}", site.nobody());
        return Ok(ExitCode::from(NOTHING));
    };
    stop(args, site, &holder)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the proxy that `holder` names, or says why it still runs.
pub(super) fn stop(args: &StopArgs, site: &Site, holder: &Holder) -> Result<(), String> {
    if holder.embedded {
        return Err(format!(
            "process {} runs the proxy for its own command (`qcc run`): it ends with that",
            holder.pid
        ));
    }
    ask(args, holder)?;
    let ended = ended_within(SILENCE, site, holder)? || {
        tell_patience(args, site, holder);
        let drain = if args.now { Duration::ZERO } else { site.drain() };
        ended_within(drain + PARTING, site, holder)?
    };
    if !ended && args.now {
        kill(site, holder)?;
    } else if !ended {
        return Err(still_runs(site, holder));
    }
    eprintln!("qcc: stopped (process {})", holder.pid);
    Ok(())
}

fn ask(args: &StopArgs, holder: &Holder) -> Result<(), String> {
    // A second signal would end the requests that the first one lets finish.
    if args.now || holder.draining.is_none() {
        signal(holder, Signal::TERM)?;
    }
    // Two of a kind could arrive as one.
    if args.now { signal(holder, Signal::INT) } else { Ok(()) }
}

fn kill(site: &Site, holder: &Holder) -> Result<(), String> {
    signal(holder, Signal::KILL)?;
    eprintln!("qcc: process {} did not listen and was killed", holder.pid);
    if ended_within(PARTING, site, holder)? { Ok(()) } else { Err(still_runs(site, holder)) }
}

fn tell_patience(args: &StopArgs, site: &Site, holder: &Holder) {
    if !args.now {
        let drain = humantime::format_duration(site.drain());
        let requests = requests(site).unwrap_or_else(|| "its requests".to_owned());
        eprintln!(
            "qcc: process {} finishes {requests}, for up to {drain}; `qcc proxy stop --now` ends them",
            holder.pid
        );
    }
}

fn still_runs(site: &Site, holder: &Holder) -> String {
    let requests = requests(site).map(|requests| format!(", with {requests}")).unwrap_or_default();
    format!("process {} still runs{requests}; `qcc proxy stop --now` ends it", holder.pid)
}

/// What it still has to finish, if it says so.
fn requests(site: &Site) -> Option<String> {
    Some(counted(site.holder().ok()??.draining?))
}

/// A number of requests in words.
pub(super) fn counted(requests: u64) -> String {
    if requests == 1 { "1 request".to_owned() } else { format!("{requests} requests") }
}

fn signal(holder: &Holder, signal: Signal) -> Result<(), String> {
    let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| format!("`{}` is no process", holder.pid))?;
    match kill_process(pid, signal) {
        // It has ended meanwhile.
        Err(rustix::io::Errno::SRCH) => Ok(()),
        sent => sent.map_err(|error| format!("process {} cannot be stopped: {error}", holder.pid)),
    }
}

/// Whether somebody else, or nobody, has the lock before `limit` has passed.
fn ended_within(limit: Duration, site: &Site, holder: &Holder) -> Result<bool, String> {
    let started = Instant::now();
    loop {
        if site.holder()?.is_none_or(|now| now.pid != holder.pid) {
            return Ok(true);
        }
        if started.elapsed() > limit {
            return Ok(false);
        }
        sleep(LOOK);
    }
}
