//! Runs a program that prints a secret: no shell, no input, a time limit, and its whole process group ends with it.
//!
//! What it prints on standard error is not kept; it could be the secret.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::unresolved::Failure;
use crate::config::Secret;
use crate::config::secret::CommandRef;
use crate::config::units::Size;
use crate::snapshot::read;

/// The most a program may print.
const CAP: Size = Size(64 << 10);

/// What the program of `spec` prints, run in `dir`, without white space around it.
pub(super) async fn run(spec: &CommandRef, dir: &Path) -> Result<Secret, Failure> {
    let mut child = spawn(spec, dir).map_err(|error| Failure::NotRun(read::words(&error)))?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let answer = tokio::time::timeout(spec.timeout.get(), answer(&mut child)).await;
    let text = answer.map_err(|_| Failure::TimedOut(spec.timeout))??;
    // It has ended and been waited for: its number may soon belong to another.
    group.0 = None;
    let text = std::str::from_utf8(&text).map_err(|_| Failure::Binary)?.trim();
    if text.is_empty() { Err(Failure::Silent) } else { Ok(Secret::new(text)) }
}

fn spawn(spec: &CommandRef, dir: &Path) -> std::io::Result<Child> {
    let (program, arguments) = spec.command.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    // A path starts at the file, a bare name is looked up in PATH.
    let program = if program.contains('/') { dir.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

async fn answer(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let limit = CAP.bytes() + 1;
    // Of full size at once: a growing one would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(usize::try_from(limit).unwrap_or_default()));
    if let Some(output) = child.stdout.take() {
        let read = output.take(limit).read_to_end(&mut text).await;
        read.map_err(|error| Failure::NotRun(read::words(&error)))?;
    }
    if text.len() as u64 > CAP.bytes() {
        return Err(Failure::Endless(CAP));
    }
    let status = child.wait().await.map_err(|error| Failure::NotRun(read::words(&error)))?;
    succeeded(status).map(|()| text)
}

fn succeeded(status: ExitStatus) -> Result<(), Failure> {
    match status.code() {
        Some(0) => Ok(()),
        Some(code) => Err(Failure::Exited(code)),
        None => Err(status.signal().map_or(Failure::Exited(-1), |_| Failure::Killed)),
    }
}

/// The process group of a program that has not ended: dropped, it is killed.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // It may have ended by itself.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::units::Dur;

    fn sh(script: &str, timeout: Duration) -> CommandRef {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        CommandRef { command, refresh: Dur::secs(3600), timeout: Dur(timeout) }
    }

    async fn outcome(script: &str, timeout: Duration) -> Result<String, Failure> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        run(&sh(script, timeout), dir.path()).await.map(|secret| secret.expose().to_owned())
    }

    #[tokio::test]
    async fn gives_what_the_program_prints_or_says_what_it_did_instead() {
        for (script, expected) in [
            ("echo ' sk-1 '; echo canary >&2", Ok("sk-1")),
            ("cat; pwd | grep -q tmp && echo run-beside-the-file", Ok("run-beside-the-file")),
            ("echo canary; exit 3", Err(Failure::Exited(3))),
            ("echo canary; kill -9 $$", Err(Failure::Killed)),
            ("yes canary", Err(Failure::Endless(CAP))),
            ("echo", Err(Failure::Silent)),
            ("printf 'canary\\377'", Err(Failure::Binary)),
        ] {
            let got = outcome(script, Duration::from_mins(1)).await;
            assert_eq!(got, expected.map(str::to_owned), "{script}");
        }
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_named_as_such() {
        let spec = CommandRef { command: vec!["./none".to_owned()], ..sh("", Duration::from_secs(1)) };
        let failure = run(&spec, Path::new("/")).await.expect_err("there is none");
        assert_eq!(failure.to_string(), "cannot be run: No such file or directory");
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_its_children() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut spec = sh("sleep 600 & echo $! > child; wait", Duration::from_millis(300));
        let failure = run(&spec, dir.path()).await.expect_err("it hangs");
        assert_eq!(failure, Failure::TimedOut(spec.timeout));
        let child = std::fs::read_to_string(dir.path().join("child")).expect("it was started");
        // Its end is waited for, by asking whether it runs until it does not.
        spec = sh(
            &format!(
                "while kill -0 {} 2>&-; do [ -d /proc ] && grep -q '^State:.Z' /proc/{}/status && break; done; echo gone",
                child.trim(),
                child.trim()
            ),
            Duration::from_mins(1),
        );
        assert_eq!(run(&spec, dir.path()).await.expect("it ends").expose(), "gone");
    }
}
