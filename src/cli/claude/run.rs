//! `qcc run`: one command that talks to the proxy, or to an endpoint, and needs no other set-up.
//!
//! - The proxy is started where none runs, and ends with the command. Where one listens already, that one is used; should
//!   it go away while the command runs, one is started in its place.
//! - The command gets what this process is sent: signals are passed on, except those the terminal sends to both anyway.
//! - The exit code is that of the command; 128 and the signal's number if one ended it.

use std::ffi::OsString;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path as File, PathBuf};
use std::process::{ExitCode, ExitStatus};
use std::task::Poll;
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use super::target::{Credential, PLACEHOLDER, Target};
use super::{key, settings, target};
use crate::app::{self, Running, StartError, search};
use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::config::Config;

/// How often it is seen whether somebody listens.
const TICK: Duration = Duration::from_secs(1);
/// What requests of others get to finish when the command has ended.
const DRAIN: Duration = Duration::from_secs(10);

/// What can be typed after `qcc run`.
#[derive(Debug, Args)]
pub(in crate::cli) struct RunArgs {
    /// Talk to the first endpoint of this profile directly, without the proxy.
    #[arg(long, value_name = "NAME", conflicts_with = "client", add = ArgValueCandidates::new(complete::profiles))]
    profile: Option<String>,
    /// Name in `server.clients` to call the proxy as. Default: the only one there is.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// The command with its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Runs the command.
pub(in crate::cli) fn run(args: &RunArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let mut proxy = if args.profile.is_some() { None } else { Some(Proxy::find(&sheet)?) };
        let target = match &args.profile {
            Some(name) => Target::profile(&sheet, name)?,
            None => Target::proxy(&sheet, proxy.as_ref().map(|proxy| proxy.url.clone()), args.client.as_deref())?,
        };
        heed(&target, &args.command);
        let command = command(&args.command, &target)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Failure::CouldNot(error.to_string()))?;
        let ended = runtime.block_on(attend(command, proxy.as_mut()));
        runtime.block_on(drain(proxy));
        // What is left of the proxy ends with the process.
        runtime.shutdown_background();
        Ok(code(ended, &args.command))
    }))
}

/// The command with what leads Claude Code to `target` in its environment.
fn command(words: &[OsString], target: &Target) -> Result<Command, Failure> {
    let (carries, other) = target.variables();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("ANTHROPIC_BASE_URL", &target.base_url);
    match &target.credential {
        Credential::Own => return Ok(command),
        Credential::Placeholder => command.env(carries, PLACEHOLDER),
        Credential::Secret { spec, .. } => command.env(carries, key::find(spec, &target.file)?.expose()),
    };
    command.env_remove(other);
    Ok(command)
}

/// Says when Claude Code would listen to its settings instead.
fn heed(target: &Target, words: &[OsString]) {
    if File::new(&words[0]).file_stem().is_none_or(|name| name != "claude") {
        return;
    }
    let Ok(path) = settings::path() else { return };
    let text = settings::read(&path).ok().flatten().unwrap_or_default();
    if settings::base_url(&text).is_some_and(|url| url != target.base_url) {
        let path = path.display();
        eprintln!("warning: {path} sets another ANTHROPIC_BASE_URL, which Claude Code prefers; `qcc use` changes it");
    }
}

/// Runs the command to its end.
async fn attend(mut command: Command, mut proxy: Option<&mut Proxy>) -> io::Result<ExitStatus> {
    let mut signals = Signals::open()?;
    let mut child = command.spawn()?;
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            status = child.wait() => return status,
            signal = signals.next() => pass_on(&child, signal),
            _ = tick.tick() => {
                if let Some(proxy) = proxy.as_deref_mut() {
                    proxy.keep();
                }
            }
        }
    }
}

/// The signals that are passed on. From [`Signals::open`] on none takes its default action.
struct Signals(Vec<(Signal, unix::Signal)>);

impl Signals {
    fn open() -> io::Result<Self> {
        let known = [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP, Signal::USR1, Signal::USR2];
        let open = |signal: Signal| Ok((signal, unix::signal(SignalKind::from_raw(signal.as_raw()))?));
        known.into_iter().map(open).collect::<io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let came =
                |(signal, queue): &mut (Signal, unix::Signal)| queue.poll_recv(context).is_ready().then_some(*signal);
            self.0.iter_mut().find_map(came).map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// What is typed at the terminal goes to the whole group in front of it, hence to the command already.
fn pass_on(child: &Child, signal: Signal) {
    if [Signal::INT, Signal::QUIT].contains(&signal) && in_front() {
        return;
    }
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        // It may have ended in this moment.
        let _ = kill_process(pid, signal);
    }
}

/// Whether this process and its command are what the terminal talks to.
fn in_front() -> bool {
    let terminal = std::fs::File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(&terminal).is_ok_and(|group| group == getpgrp()))
}

fn code(ended: io::Result<ExitStatus>, words: &[OsString]) -> ExitCode {
    let code = match ended {
        Ok(status) => status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1),
        Err(error) => {
            eprintln!("error: `{}` cannot be run: {error}", words[0].display());
            // As shells have it: 127 not found, 126 not allowed.
            if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// The proxy the command talks to.
struct Proxy {
    config: PathBuf,
    address: SocketAddr,
    url: String,
    /// `None`: somebody else's.
    running: Option<Running>,
}

impl Proxy {
    /// The one that runs the file, or listens where the file says; else a new one.
    fn find(sheet: &Sheet) -> Result<Self, Failure> {
        let config = sheet.config()?;
        let listen = config.server.listen.addresses().first().map(String::as_str).unwrap_or_default();
        let written = target::url(&config.server, listen);
        let path = std::path::absolute(sheet.path()).unwrap_or_else(|_| sheet.path().to_owned());
        let known = [running(&path, config), written.clone()].into_iter().flatten();
        let mut known = known.filter_map(|url| address(&url).map(|address| (url, address)));
        if let Some((url, address)) = known.find(|(_, address)| listens(address)) {
            return Ok(Self { config: path, address, url, running: None });
        }
        let running = start(&path).map_err(|error| Failure::CouldNot(error.to_string()))?;
        let first = running.addresses.first().copied().unwrap_or(([127, 0, 0, 1], 0).into());
        let url = written.or_else(|| target::url(&config.server, &first.to_string())).unwrap_or_default();
        Ok(Self { config: path, address: address(&url).unwrap_or(first), url, running: Some(running) })
    }

    /// Starts one where somebody else's has gone.
    fn keep(&mut self) {
        if self.running.is_none() && !listens(&self.address) {
            // Whoever was faster serves as well; what else fails is tried again.
            self.running = start(&self.config).ok();
        }
    }
}

/// Where the proxy that runs the file at `path` says it listens.
fn running(path: &File, config: &Config) -> Option<String> {
    let holder = search::find(path, config.state.dir.as_deref()).ok()?.holder?;
    let (_, address) = holder.addresses.first()?.split_once("://")?;
    target::url(&config.server, address)
}

/// Its log would be written over what the command shows: it has none.
fn start(config: &File) -> Result<Running, StartError> {
    app::start(app::Options { config: config.to_owned(), sole: true, ..app::Options::default() })
}

fn address(url: &str) -> Option<SocketAddr> {
    let host = url.split_once("://")?.1;
    host.to_socket_addrs().ok()?.next()
}

fn listens(address: &SocketAddr) -> bool {
    TcpStream::connect_timeout(address, Duration::from_millis(500)).is_ok()
}

/// Lets the requests of others finish, and ends.
async fn drain(proxy: Option<Proxy>) {
    let Some(mut running) = proxy.and_then(|proxy| proxy.running) else { return };
    running.drain();
    let ended = tokio::task::spawn_blocking(move || running.wait());
    drop(tokio::time::timeout(DRAIN, ended).await);
}
