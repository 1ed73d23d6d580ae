//! The proxies that are compared, each set up to do the same: pass everything to one endpoint, keep connections open.

use std::fs::{self, File};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::connection::Connection;
use crate::process::{Cores, pin};

/// Longest wait for a start or an end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The endpoint itself.
    Direct,
    /// With room in memory for the whole of a large request.
    Nginx,
    /// As it is by default: a body beyond 16 KiB goes through a file.
    NginxSpilling,
    HaProxy,
    Qcc,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Direct, Self::Nginx, Self::NginxSpilling, Self::HaProxy, Self::Qcc];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::NginxSpilling => "nginx-16k",
            Self::HaProxy => "HAProxy",
            Self::Qcc => "qcc",
        }
    }

    /// The program, if it is here; `qcc` is where that of ours is.
    pub(crate) fn program(self, qcc: &Path) -> Option<PathBuf> {
        let name = match self {
            Self::Direct | Self::Qcc => return Some(qcc.to_owned()),
            Self::Nginx | Self::NginxSpilling => "nginx",
            Self::HaProxy => "haproxy",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let usual = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
        std::env::split_paths(&path).chain(usual).map(|folder| folder.join(name)).find(|program| program.is_file())
    }
}

/// Builds qcc as users do: the program that `cargo bench` makes has what only tests need compiled in.
pub(crate) fn build() -> io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).ok_or_else(|| io::Error::other("this program is in no target directory"))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--locked", "--bin", "qcc", "--manifest-path"]);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target);
    let built = command.status()?.success();
    built.then(|| target.join("release/qcc")).ok_or_else(|| io::Error::other("qcc could not be built"))
}

/// A proxy that runs; dropping it ends it.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// From its start to its first answer.
    pub(crate) cold_start: Duration,
    child: Option<Child>,
    _place: tempfile::TempDir,
}

impl Proxy {
    /// Starts one in front of `endpoint`, on its core, and has it answer `request`.
    pub(crate) fn start(
        kind: Kind,
        program: &Path,
        endpoint: SocketAddr,
        cores: Cores,
        request: &[u8],
    ) -> io::Result<Self> {
        let place = tempfile::tempdir()?;
        if kind == Kind::Direct {
            return Ok(Self { address: endpoint, cold_start: Duration::ZERO, child: None, _place: place });
        }
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = command(kind, program, place.path(), address, endpoint)?;
        pin(cores.proxy)?;
        let began = Instant::now();
        let child = command.spawn();
        pin(cores.load)?;
        let mut proxy = Self { address, cold_start: Duration::ZERO, child: Some(child?), _place: place };
        while let Err(error) = Connection::open(address).and_then(|mut connection| connection.ask(request)) {
            if began.elapsed() > PATIENCE {
                return Err(io::Error::other(format!("{} does not answer: {error}", kind.name())));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        proxy.cold_start = began.elapsed();
        Ok(proxy)
    }

    /// Its process; `None` where the endpoint itself answers.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
        let began = Instant::now();
        while matches!(child.try_wait(), Ok(None)) {
            if began.elapsed() > PATIENCE {
                drop(child.kill());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn command(kind: Kind, program: &Path, place: &Path, address: SocketAddr, endpoint: SocketAddr) -> io::Result<Command> {
    let (file, text) = match kind {
        Kind::Nginx => ("nginx.conf", nginx(place, address, endpoint, "256k")),
        Kind::NginxSpilling => ("nginx.conf", nginx(place, address, endpoint, "16k")),
        Kind::HaProxy => ("haproxy.cfg", haproxy(address, endpoint)),
        Kind::Direct | Kind::Qcc => ("qcc.yaml", qcc(address, endpoint)),
    };
    let config = place.join(file);
    fs::write(&config, text)?;
    let mut command = Command::new(program);
    match kind {
        Kind::Nginx | Kind::NginxSpilling => {
            command.arg("-p").arg(place).arg("-e").arg(place.join("errors")).arg("-c").arg(config)
        }
        Kind::HaProxy => command.arg("-db").arg("-f").arg(config),
        Kind::Direct | Kind::Qcc => command.args(["proxy", "start", "--config"]).arg(config).env("HOME", place),
    };
    for variable in ["XDG_STATE_HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(variable, place);
    }
    command.current_dir(place).env("BENCH_KEY", "sk-ant-bench").stdin(Stdio::null()).stdout(Stdio::null());
    // The log, in a folder of its own: beside the file its lines would be changes that qcc looks at.
    fs::create_dir(place.join("log"))?;
    command.stderr(File::create(place.join("log/stderr"))?);
    Ok(command)
}

fn nginx(place: &Path, address: SocketAddr, endpoint: SocketAddr, body: &str) -> String {
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let place = place.display();
    format!(
        "{user} daemon off; worker_processes 1; pid {place}/pid;
events {{ worker_connections 16384; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_buffer_size {body};
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy; fastcgi_temp_path {place}/fastcgi;
  uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  upstream endpoint {{ server {endpoint}; keepalive 256; keepalive_requests 1000000; }}
  server {{
    listen {address} backlog=8192;
    location / {{
      proxy_pass http://endpoint; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;
    }}
  }}
}}
"
    )
}

fn haproxy(address: SocketAddr, endpoint: SocketAddr) -> String {
    format!(
        "global
  nbthread 1
  maxconn 8192
defaults
  mode http
  option http-no-delay
  http-reuse always
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen bench
  bind {address} backlog 8192
  server endpoint {endpoint} pool-max-conn 256
"
    )
}

fn qcc(address: SocketAddr, endpoint: SocketAddr) -> String {
    format!(
        "version: 1
server: {{ listen: \"{address}\", limits: {{ in_flight: 16384, connections: 16384 }} }}
queue: {{ enabled: true }}
profiles:
  main:
    tier: primary
    endpoints:
      - {{ id: one, base_url: \"http://{endpoint}\", api_key: {{ env: BENCH_KEY }} }}
      - {{ id: two, base_url: \"http://{endpoint}\", api_key: {{ env: BENCH_KEY }} }}
"
    )
}
