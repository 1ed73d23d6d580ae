//! The proxy in the background: started by running this program once more, in a session of its own.
//!
//! The new process keeps the terminal's standard error until it listens, so whoever starts it reads why it could not. Its
//! standard output is a pipe to here: it says who it is, or ends with the process.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::stop::{self, StopArgs};
use super::{COULD_NOT, NOTHING, Site};
use crate::app::lock::Holder;

/// Longest wait until it listens: programs that print secrets have their say before.
const PATIENCE: Duration = Duration::from_secs(90);

/// Starts the proxy of `site` in the background and waits until it listens.
pub(super) fn start(site: &Site, use_last_good: bool) -> Result<ExitCode, String> {
    let mut child =
        spawn(&site.path, use_last_good).map_err(|error| format!("the proxy could not be started: {error}"))?;
    let Some(text) = heard(&mut child) else {
        // It is our child and has not been waited for: nobody else has its number.
        drop(child.kill().and_then(|()| child.wait()));
        return Err(format!("the proxy did not listen within {} s and was ended", PATIENCE.as_secs()));
    };
    Ok(serde_json::from_str(&text).map_or_else(|_| failed(&mut child), |holder| announce(&holder)))
}

/// Stops the proxy of `site`, if there is one, and starts it anew; a file that is not valid changes nothing.
pub(super) fn restart(args: &StopArgs, site: &Site) -> Result<ExitCode, String> {
    if site.loaded.config.is_none() {
        eprint!("{}", site.loaded.report(false));
        eprintln!("qcc: not restarted: what runs is left alone; `qcc validate` checks the file");
        return Ok(ExitCode::from(NOTHING));
    }
    let holder = site.holder()?;
    let use_last_good = holder.as_ref().is_some_and(|holder| holder.use_last_good);
    match holder {
        None => eprintln!("qcc: no proxy ran on `{}`", site.path.display()),
        Some(holder) if holder.supervised => {
            return Err(format!("process {} was started by a supervisor: restart it there", holder.pid));
        }
        Some(holder) => stop::stop(args, site, &holder)?,
    }
    start(site, use_last_good)
}

fn spawn(path: &Path, use_last_good: bool) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--config").arg(path).args(["proxy", "start", "--detached"]);
    command.args(use_last_good.then_some("--use-last-good"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()
}

/// What it says on its standard output until that is closed; `None`: it takes too long.
fn heard(child: &mut Child) -> Option<String> {
    let mut output = child.stdout.take()?;
    let (said, heard) = sync_channel(1);
    std::thread::spawn(move || {
        let mut text = String::new();
        // What cannot be read is as good as nothing said.
        drop(output.read_to_string(&mut text));
        drop(said.send(text));
    });
    heard.recv_timeout(PATIENCE).ok()
}

/// It has said why itself.
fn failed(child: &mut Child) -> ExitCode {
    let code = child.wait().ok().and_then(|status| status.code());
    let code = code.and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    ExitCode::from(code.unwrap_or(COULD_NOT))
}

fn announce(holder: &Holder) -> ExitCode {
    for address in &holder.addresses {
        eprintln!("qcc: listening on {address}");
    }
    let log = holder.log.as_deref().unwrap_or(Path::new("nowhere"));
    eprintln!("qcc: process {}, log in {}", holder.pid, log.display());
    ExitCode::SUCCESS
}
