//! Runs a program with a message on its standard input: no shell, a clean environment, and its whole process group ends
//! with it.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use super::lane::Failure;
use super::message::Message;

/// What it gets of the proxy's environment, which may hold keys.
const KEPT: [&str; 6] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ"];

/// Runs `words` in `dir`. Whoever drops this kills it.
pub(super) async fn run(words: &[String], dir: &Path, message: &Message) -> Result<(), Failure> {
    let mut child = spawn(words, dir, message).map_err(|error| Failure::lasting(format_args!("not run: {error}")))?;
    let mut group = Group(child.id().and_then(|id| Pid::from_raw(id.cast_signed())));
    let input = child.stdin.take();
    let feed = async {
        if let Some(mut input) = input {
            // It need not read it.
            drop(input.write_all(&message.body).await);
        }
    };
    let ((), status) = tokio::join!(feed, child.wait());
    // It has ended and been waited for: its number may soon belong to another.
    group.0 = None;
    let status = status.map_err(Failure::passing)?;
    if status.success() { Ok(()) } else { Err(Failure::passing(status)) }
}

fn spawn(words: &[String], dir: &Path, message: &Message) -> std::io::Result<Child> {
    let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    // A path starts at the file, a bare name is looked up in PATH.
    let program = if program.contains('/') { dir.join(program) } else { program.into() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(dir).process_group(0).kill_on_drop(true).env_clear();
    command.envs(KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.env("QCC_EVENT", message.name()).env("QCC_TEXT", &message.text);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
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
