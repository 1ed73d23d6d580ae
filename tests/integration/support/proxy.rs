//! The real binary, run on a file of its own in a scratch home.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::config::{CANARY, KEYS, key};
use super::save::Style;
use super::{Answer, Client, Request, in_time, until};

/// What a proxy is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    dir: Arc<tempfile::TempDir>,
    environment: Vec<(String, String)>,
    /// What a shell does before it becomes `qcc`.
    shell: Option<String>,
}

impl Setup {
    /// A scratch directory with this `qcc.yaml`.
    pub(crate) fn new(yaml: &str) -> Self {
        let dir = tempfile::tempdir().expect("there is a directory for scratch files");
        let keys = KEYS.chars().map(|letter| (format!("KEY_{letter}"), key(&letter.to_string())));
        Self { dir: Arc::new(dir), environment: keys.collect(), shell: None }.with_file("qcc.yaml", yaml)
    }

    /// A further file, readable by its owner alone.
    pub(crate) fn with_file(self, name: &str, text: &str) -> Self {
        let path = self.dir.path().join(name);
        std::fs::create_dir_all(path.parent().expect("it is in our directory")).expect("the directory is ours");
        std::fs::write(&path, text).expect("the directory is ours");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("the file is ours");
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Its processes begin in a shell that does this.
    pub(crate) fn in_shell(self, script: &str) -> Self {
        Self { shell: Some(script.to_owned()), ..self }
    }

    /// Where its `qcc.yaml` is.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("qcc.yaml")
    }

    /// Where the state of its `qcc.yaml` is.
    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("home/state/qcc").join(qcc::config::instance_id(&self.path()))
    }

    pub(crate) fn command(&self) -> Command {
        let mut command = match &self.shell {
            None => Command::new(env!("CARGO_BIN_EXE_qcc")),
            Some(script) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", &format!("{script}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_qcc")]);
                shell
            }
        };
        let home = self.dir.path().join("home");
        std::fs::create_dir_all(&home).expect("the directory is ours");
        command.env_clear().env("HOME", &home).env("PATH", "/usr/bin:/bin").current_dir(self.dir.path());
        for (name, folder) in [("XDG_CONFIG_HOME", "config"), ("XDG_STATE_HOME", "state"), ("XDG_RUNTIME_DIR", "run")] {
            std::fs::create_dir_all(home.join(folder)).expect("the directory is ours");
            command.env(name, home.join(folder));
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Starts `qcc` with these arguments without waiting for anything.
    fn spawn(self, arguments: &[&str]) -> Proxy {
        let path = self.dir.path().join("qcc.yaml");
        let mut child = self.command().args(arguments).spawn().expect("the binary runs");
        let output = Arc::new(Output::default());
        tokio::spawn(Arc::clone(&output).collect(child.stderr.take().expect("it is piped")));
        tokio::spawn(Arc::clone(&output).collect(child.stdout.take().expect("it is piped")));
        Proxy { child, address: ([127, 0, 0, 1], 0).into(), path, output, setup: self }
    }

    /// Starts the proxy and waits until it listens.
    pub(crate) async fn start(self) -> Proxy {
        match self.start_or_exit().await {
            Ok(proxy) => proxy,
            Err(code) => panic!("the proxy ended with {code:?} instead of listening"),
        }
    }

    /// Starts the proxy and waits until it listens, or ends with this exit code.
    pub(crate) async fn start_or_exit(self) -> Result<Proxy, Option<i32>> {
        self.start_with(&["-c", "qcc.yaml", "proxy", "start"]).await
    }

    /// Starts `qcc` with these arguments and waits until it listens, or ends with this exit code.
    pub(crate) async fn start_with(self, arguments: &[&str]) -> Result<Proxy, Option<i32>> {
        let mut proxy = self.spawn(arguments);
        let output = Arc::clone(&proxy.output);
        let line = tokio::select! {
            line = output.listening() => line,
            code = proxy.exit() => {
                eprintln!("--- the proxy's lines:\n{}", proxy.lines().join("\n"));
                return Err(code);
            }
        };
        let address = line.split("://").nth(1).and_then(|rest| rest.trim().parse().ok());
        proxy.address = address.unwrap_or_else(|| panic!("an address in {line:?}"));
        Ok(proxy)
    }

    /// Runs `qcc` with these arguments to its end: exit code, standard output, standard error.
    pub(crate) async fn said(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = in_time("the end of the command", self.command().args(arguments).output()).await;
        let output = output.expect("the binary runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it speaks UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Runs `qcc` with these arguments to its end: exit code and everything it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = in_time("the end of the command", self.command().args(arguments).output()).await;
        let output = output.expect("the binary runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

/// Lines a process has printed.
#[derive(Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    /// Pipes that have come to their end, of two.
    ended: AtomicUsize,
    changes: watch::Sender<()>,
}

impl Output {
    async fn collect(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            self.changes.send_replace(());
        }
        self.ended.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
    }

    /// The line that says where it listens; never, if the process ends first.
    async fn listening(&self) -> String {
        let look = || self.lines().into_iter().find(|line| line.contains("listening on "));
        until("a line that says where it listens", &self.changes, look).await
    }

    async fn wait(&self, text: &str, times: usize) -> String {
        let look = || {
            let ended = self.ended.load(Ordering::Acquire) == 2;
            let found = self.lines().into_iter().filter(|line| line.contains(text)).nth(times - 1);
            assert!(found.is_some() || !ended, "the proxy ended without {times} lines with {text:?}");
            found
        };
        until(&format!("{times} lines with {text:?}"), &self.changes, look).await
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running proxy; killed when dropped. No run may have shown a key or panicked.
pub(crate) struct Proxy {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) path: PathBuf,
    output: Arc<Output>,
    setup: Setup,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let lines = self.lines();
        if std::thread::panicking() {
            let from = lines.len().saturating_sub(60);
            eprintln!("--- the proxy's last lines:\n{}", lines[from..].join("\n"));
            return;
        }
        for line in lines {
            assert!(!line.contains(CANARY), "a key was printed: {line}");
            assert!(!line.contains("panicked"), "the proxy panicked: {line}");
        }
    }
}

impl Proxy {
    /// Starts a proxy on this file and waits until it listens.
    pub(crate) async fn start(yaml: &str) -> Self {
        Setup::new(yaml).start().await
    }

    /// Starts another one on the same file.
    pub(crate) async fn again(&self) -> Result<Self, Option<i32>> {
        self.setup.clone().start_or_exit().await
    }

    /// Starts another one on the same file, with these arguments.
    pub(crate) async fn again_with(&self, arguments: &[&str]) -> Result<Self, Option<i32>> {
        self.setup.clone().start_with(arguments).await
    }

    /// Where it keeps accepted files.
    pub(crate) fn accepted(&self) -> PathBuf {
        let folder = self.setup.dir.path().join("home/state/qcc").join(qcc::config::instance_id(&self.path));
        folder.join("accepted")
    }

    /// Kills it in the middle of whatever it does, and starts another one on the same file.
    pub(crate) async fn killed_and_again(mut self) -> Self {
        self.setup.shell = None;
        self.signal(Signal::KILL);
        self.exit().await;
        match self.again().await {
            Ok(proxy) => proxy,
            Err(code) => panic!("the next start ended with {code:?} instead of listening"),
        }
    }

    /// What it was started with: commands beside it are typed there.
    pub(crate) fn setup(&self) -> &Setup {
        &self.setup
    }

    /// Where its state is, as the setup of tests has it.
    pub(crate) fn state(&self) -> PathBuf {
        self.setup.dir.path().join("state")
    }

    /// Runs `qcc` with these arguments beside it, to its end: exit code and everything it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        self.setup.run(arguments).await
    }

    /// Sends `request` on a connection of its own.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        Client::h1(self.address).await.send(request).await
    }

    /// Sends `request` again and again on one connection.
    pub(crate) async fn send_times(&self, count: usize, request: &Request) -> Vec<Answer> {
        let mut client = Client::h1(self.address).await;
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(client.send(request).await);
        }
        answers
    }

    /// Everything it printed so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.output.lines()
    }

    /// How many lines contain `text`.
    pub(crate) fn count_log(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for a line that contains `text`.
    pub(crate) async fn wait_log(&self, text: &str) -> String {
        self.wait_log_times(text, 1).await
    }

    /// Waits until `times` lines contain `text`, and gives the last of them.
    pub(crate) async fn wait_log_times(&self, text: &str, times: usize) -> String {
        self.output.wait(text, times).await
    }

    /// Saves `text` as the file, by rename.
    pub(crate) async fn save(&self, text: &str) {
        Style::Rename.save(&self.path, text).await;
    }

    /// Saves `text` and waits until it is live.
    pub(crate) async fn reload(&self, text: &str) {
        let before = self.count_log("reloaded");
        self.save(text).await;
        self.wait_log_times("reloaded", before + 1).await;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is ours");
    }

    pub(crate) fn pid(&self) -> Pid {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("the process runs");
        Pid::from_raw(id).expect("a process id is positive")
    }

    /// Waits for its end and gives the exit code; `None` when a signal ended it.
    pub(crate) async fn exit(&mut self) -> Option<i32> {
        in_time("the end of the proxy", self.child.wait()).await.expect("it is our child").code()
    }

    /// Resident memory in KiB.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// Open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }
}
