//! The real binary in the background.

use std::net::SocketAddr;
use std::path::PathBuf;

use qcc::app::lock::{self, Holder};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;

use super::{Answer, Client, Request, Setup, in_time};

/// A proxy in the background, and the file it runs. Whatever runs on the file when this is dropped is killed.
pub(crate) struct Daemon {
    pub(crate) setup: Setup,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(Some(holder)) = lock::holder(&self.setup.state()) {
            // It may end by itself right now.
            let _ = kill_process(pid(&holder), Signal::KILL);
        }
    }
}

fn pid(holder: &Holder) -> Pid {
    Pid::from_raw(i32::try_from(holder.pid).expect("a process id")).expect("a process id is positive")
}

impl Daemon {
    /// Starts the proxy of `yaml` in the background.
    pub(crate) async fn start(yaml: &str) -> Self {
        Self::of(Setup::new(yaml)).await
    }

    /// Starts the proxy of `setup` in the background.
    pub(crate) async fn of(setup: Setup) -> Self {
        let daemon = Self { setup };
        let (code, text) = daemon.proxy(&["start", "--daemon"]).await;
        assert_eq!(code, Some(0), "{text}");
        daemon
    }

    /// Runs `qcc proxy ...` to its end: exit code and everything it printed.
    pub(crate) async fn proxy(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.setup.run(&[&["proxy"], arguments].concat()).await
    }

    /// Who runs the file.
    pub(crate) fn holder(&self) -> Holder {
        lock::holder(&self.setup.state()).expect("a lock").expect("somebody holds it")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let holder = self.holder();
        let address = holder.addresses[0].split("://").nth(1).expect("a URL");
        address.parse().expect("an address")
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        Client::h1(self.address()).await.send(request).await
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(pid(&self.holder()), signal).expect("the process is ours");
    }

    /// The log file, and those put aside, youngest first.
    pub(crate) fn log_files(&self) -> Vec<PathBuf> {
        let state = self.setup.state();
        let aside = (1..).map(|age| state.join(format!("proxy.log.{age}"))).take_while(|path| path.exists());
        std::iter::once(state.join("proxy.log")).chain(aside).collect()
    }

    /// Starts `qcc proxy ...`: what it prints. It ends with that.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Printed {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let output = || writer.try_clone().expect("a pipe");
        let mut command = self.setup.command();
        command.arg("proxy").args(arguments).stdout(output()).stderr(output());
        let child = command.spawn().expect("the binary runs");
        let reader = Receiver::from_owned_fd(reader.into()).expect("a pipe");
        Printed { lines: BufReader::new(reader).lines(), _child: child }
    }
}

/// Lines of a command that runs; it is killed when this is dropped.
pub(crate) struct Printed {
    lines: Lines<BufReader<Receiver>>,
    _child: Child,
}

impl Printed {
    /// Waits for a line with `text`; gives all lines up to it.
    pub(crate) async fn until(&mut self, text: &str) -> Vec<String> {
        let mut seen = Vec::new();
        while !seen.last().is_some_and(|line: &String| line.contains(text)) {
            let line = in_time(text, self.lines.next_line()).await.expect("text");
            seen.push(line.unwrap_or_else(|| panic!("it ended without {text:?}: {seen:?}")));
        }
        seen
    }
}
