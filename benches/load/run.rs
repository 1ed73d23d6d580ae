//! The rounds: every proxy is started, asked everything, and ended.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::load;
use crate::process::{Cores, cpu_time, memory, pin};
use crate::proxy::{self, Kind, Proxy};
use crate::table::{Figure, Readings};
use crate::work::{Answer, EVENTS, PACED, events, request};

/// Bytes of a small and of a large request.
const SIZES: (usize, usize) = (2_000, 100_000);
/// Requests a second at which latency is measured. A prime number: requests that keep step with the kernel's tick meet it
/// always or never, and which of the two is luck.
const RATE: u32 = 1997;
/// The same for the first event of a large request.
const SLOW_RATE: u32 = 200;
/// Connections of requests that follow one another, and of paced streams.
const CONNECTIONS: (usize, usize) = (16, 200);

/// What qcc costs per request, per event and per open stream, beside nginx and HAProxy where they are installed.
#[derive(Clone, Debug, Parser)]
#[command(name = "load")]
struct Options {
    /// Rounds; medians are shown.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Open streams whose memory is measured, besides 1,000.
    #[arg(long, default_value_t = 5000)]
    streams: usize,
    /// Only what has one of these words in its name, as in `small,burst`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these proxies, as in `nginx,qcc`.
    #[arg(long, value_delimiter = ',')]
    proxies: Vec<String>,
    /// The qcc to measure; without it the release build is brought up to date and taken.
    #[arg(long)]
    qcc: Option<PathBuf>,
    /// Given by cargo; without it (`cargo test`) nothing is run.
    #[arg(long, hide = true)]
    bench: bool,
}

pub(crate) fn run() -> ExitCode {
    let options = Options::parse();
    if !options.bench {
        eprintln!("run by `cargo bench --bench load`");
        return ExitCode::SUCCESS;
    }
    match rounds(&options) {
        Ok(readings) => {
            println!("{}", readings.show());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn rounds(options: &Options) -> io::Result<Readings> {
    raise_open_files()?;
    let cores = Cores::find()?;
    if cores.proxy == cores.load {
        eprintln!("there is one core only: proxy and load share it");
    }
    let qcc = options.qcc.clone().map_or_else(proxy::build, Ok)?;
    pin(cores.load)?;
    let endpoint = Endpoint::start()?;
    let mut readings = Readings::default();
    for round in 0..options.rounds {
        for kind in Kind::ALL {
            let named = options.proxies.is_empty() || options.proxies.iter().any(|name| kind.name() == name);
            if !named && kind != Kind::Direct {
                continue;
            }
            let Some(program) = kind.program(&qcc) else {
                eprintln!("{} is not installed", kind.name());
                continue;
            };
            eprintln!("round {} of {}: {}", round + 1, options.rounds, kind.name());
            Visit::begin((kind, &program), round, &endpoint, cores, options, &mut readings)?.everything()?;
            endpoint.let_go();
        }
    }
    Ok(readings)
}

fn raise_open_files() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// One proxy in one round.
struct Visit<'a> {
    kind: Kind,
    round: usize,
    proxy: Proxy,
    time: Duration,
    options: &'a Options,
    readings: &'a mut Readings,
}

impl<'a> Visit<'a> {
    fn begin(
        (kind, program): (Kind, &Path),
        round: usize,
        endpoint: &Endpoint,
        cores: Cores,
        options: &'a Options,
        readings: &'a mut Readings,
    ) -> io::Result<Self> {
        let proxy = Proxy::start(kind, program, endpoint.address, cores, &request(Answer::Json, SIZES.0))?;
        let mut visit = Self { kind, round, proxy, time: Duration::from_secs(options.seconds), options, readings };
        if kind != Kind::Direct {
            visit.note("cold start, ms", false, visit.proxy.cold_start.as_secs_f64() * 1e3);
            visit.note("program, MiB", false, std::fs::metadata(program)?.len() as f64 / f64::from(1 << 20));
        }
        Ok(visit)
    }

    fn everything(&mut self) -> io::Result<()> {
        self.check()?;
        if self.kind == Kind::NginxSpilling {
            // Small requests and streams are the same to it.
            self.cpu("CPU of a 100 KB request, us", Answer::Json, SIZES.1, CONNECTIONS.0, 1e6)?;
            return self.first_event();
        }
        self.idle_memory();
        self.cpu("CPU of a small request, us", Answer::Json, SIZES.0, CONNECTIONS.0, 1e6)?;
        self.cpu("CPU of a 100 KB request, us", Answer::Json, SIZES.1, CONNECTIONS.0, 1e6)?;
        self.cpu("CPU of a million events in bursts, s", Answer::Burst, SIZES.0, CONNECTIONS.0, 1e6 / EVENTS as f64)?;
        self.cpu("CPU of a million events at 20 ms, s", Answer::Paced, SIZES.0, CONNECTIONS.1, 1e6 / PACED as f64)?;
        self.latency()?;
        self.first_event()?;
        self.streams(1000, "memory of 1,000 open streams, KiB each")?;
        self.streams(self.options.streams, "memory of 5,000 open streams, KiB each")
    }

    /// The stream that comes through is the one that was sent.
    fn check(&self) -> io::Result<()> {
        let mut connection = Connection::open(self.proxy.address)?;
        connection.ask(&request(Answer::Burst, SIZES.1))?;
        let whole: Vec<u8> = events(EVENTS).iter().flat_map(|chunk| unchunked(chunk)).copied().collect();
        if connection.body() == whole { Ok(()) } else { Err(io::Error::other("the stream was changed on its way")) }
    }

    fn idle_memory(&mut self) {
        if let Some(pid) = self.proxy.pid() {
            self.note("idle memory, MiB", false, memory(pid) as f64 / 1024.0);
        }
    }

    fn cpu(
        &mut self,
        name: &'static str,
        answer: Answer,
        size: usize,
        connections: usize,
        scale: f64,
    ) -> io::Result<()> {
        let (Some(pid), true) = (self.proxy.pid(), self.wants(name)) else { return Ok(()) };
        let request = Arc::from(request(answer, size));
        load::closed(self.proxy.address, &request, connections, self.time / 10)?;
        let before = cpu_time(pid);
        let answered = load::closed(self.proxy.address, &request, connections, self.time)?;
        let spent = cpu_time(pid).saturating_sub(before);
        self.note(name, false, spent.as_secs_f64() / answered as f64 * scale);
        Ok(())
    }

    fn latency(&mut self) -> io::Result<()> {
        if !self.wants("latency at 2,000/s") {
            return Ok(());
        }
        let request = Arc::from(request(Answer::Json, SIZES.0));
        let took = load::at_rate(self.proxy.address, &request, RATE, self.time, false)?;
        self.note("latency at 2,000/s: p50 added, us", true, quantile(&took, 0.5));
        self.note("latency at 2,000/s: p99 added, us", true, quantile(&took, 0.99));
        self.note("latency at 2,000/s: p99.9 added, us", true, quantile(&took, 0.999));
        Ok(())
    }

    fn first_event(&mut self) -> io::Result<()> {
        if !self.wants("first event") {
            return Ok(());
        }
        let request = Arc::from(request(Answer::Burst, SIZES.1));
        let took = load::at_rate(self.proxy.address, &request, SLOW_RATE, self.time, true)?;
        self.note("first event of a 100 KB request: p50 added, us", true, quantile(&took, 0.5));
        Ok(())
    }

    fn streams(&mut self, number: usize, name: &'static str) -> io::Result<()> {
        let (Some(pid), true) = (self.proxy.pid(), self.wants(name)) else { return Ok(()) };
        let request = request(Answer::Held, SIZES.0);
        let before = memory(pid);
        let began = Instant::now();
        let held = load::hold(self.proxy.address, &request, number)?;
        std::thread::sleep(Duration::from_millis(500).saturating_sub(began.elapsed()));
        self.note(name, false, memory(pid).saturating_sub(before) as f64 / number as f64);
        drop(held);
        Ok(())
    }

    fn wants(&self, name: &str) -> bool {
        self.options.only.is_empty() || self.options.only.iter().any(|word| name.contains(word.as_str()))
    }

    fn note(&mut self, name: &'static str, added: bool, value: f64) {
        self.readings.note(Figure { name, added }, self.kind, self.round, value);
    }
}

/// A chunk's data.
fn unchunked(chunk: &[u8]) -> &[u8] {
    let begins = chunk.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    &chunk[begins..chunk.len() - 2]
}

/// In microseconds, of sorted times.
fn quantile(sorted: &[Duration], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1) as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
    sorted.get((last * part).round() as usize).map_or(0.0, |took| took.as_secs_f64() * 1e6)
}
