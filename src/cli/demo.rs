//! `qcc demo`: the proxy, to be seen and broken without a key, a server or a network.
//!
//! It writes a qcc.yaml over simulated endpoints, runs it the way `qcc proxy start` runs any file, sends a little traffic,
//! and shows what happens: on a terminal a table with a line for every event, elsewhere the log.

mod cast;
mod intro;
mod place;
mod ports;
mod pulse;
mod screen;
mod stage;
mod style;
mod view;

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use self::cast::expected_ports;
use self::place::{Place, PlaceError};
use self::ports::Ports;
use self::stage::{Stage, Traffic};
use self::style::Palette;
use crate::app;
use crate::simulate;
use crate::telemetry::log;

/// What can be typed after `qcc demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// Directory of the demo's qcc.yaml; made if it is not there. `--config` plays no part.
    #[arg(long, value_name = "DIR", default_value = "qcc-demo")]
    dir: PathBuf,
    /// Port of the proxy on 127.0.0.1. Default: what the file says, 7860 at first; another one if it is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Send no requests of its own.
    #[arg(long, conflicts_with = "requests")]
    no_traffic: bool,
    /// End after this many requests of its own; exit code 1 if one of them failed.
    #[arg(long, value_name = "N")]
    requests: Option<u32>,
    /// Log lines instead of the live table, also on a terminal.
    #[arg(long)]
    plain: bool,
}

/// Runs the command.
pub(super) fn run(args: &DemoArgs) -> ExitCode {
    match demo(args) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("qcc demo: {failed} requests failed");
            ExitCode::from(1)
        }
        Err(error) => {
            eprintln!("qcc demo: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Why there is no demo.
#[derive(Debug)]
enum DemoError {
    Place(PlaceError),
    Simulate(simulate::StartError),
    App(app::StartError),
    Io(io::Error),
}

impl DemoError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::Place(PlaceError::Busy(_) | PlaceError::Foreign(_) | PlaceError::Invalid(..)) => 1,
            Self::Place(PlaceError::Io(..)) | Self::Simulate(_) | Self::App(_) | Self::Io(_) => 2,
        }
    }
}

impl fmt::Display for DemoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Place(error) => error.fmt(f),
            Self::Simulate(error) => error.fmt(f),
            Self::App(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
        }
    }
}

impl Error for DemoError {}

/// Runs the demo to its end; returns how many of its own requests failed.
fn demo(args: &DemoArgs) -> Result<u32, DemoError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(DemoError::Io)?;
    let mut place = Place::open(&args.dir).map_err(DemoError::Place)?;
    let expected = expected_ports(&place.seats());
    let simulator = runtime.block_on(cast::start(expected)).map_err(DemoError::Simulate)?;
    let ports = Ports::find(&place, &expected, &simulator, args.port).map_err(DemoError::Io)?;
    place.save(&ports.changes).map_err(DemoError::Place)?;
    // Beside a table that is redrawn, log lines would only be noise: the table says what they say.
    let live = !args.plain && is_capable_terminal();
    let log = (!live).then(|| Arc::new(log::init(&place.log())));
    let options = app::Options { config: place.path.clone(), log, ..app::Options::default() };
    let stage = Stage::new(place, simulator, app::start(options).map_err(DemoError::App)?);
    stage.introduce(&ports.taken, palette()).map_err(DemoError::Io)?;
    let failed = runtime.block_on(stage.play(args.traffic(), live.then(palette))).map_err(DemoError::Io)?;
    eprintln!("qcc demo: ended; `{}` is there for the next time", args.dir.join("qcc.yaml").display());
    Ok(failed)
}

impl DemoArgs {
    fn traffic(&self) -> Traffic {
        if self.no_traffic { Traffic::None } else { self.requests.map_or(Traffic::Endless, Traffic::Some) }
    }
}

/// Colours, where they can be seen and nobody minds.
fn palette() -> Palette {
    Palette(io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
}

fn is_capable_terminal() -> bool {
    io::stdout().is_terminal() && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_serves_its_own_requests_from_a_file_it_wrote() {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, port) = (dir.path().to_path_buf(), Some(0));
        let args = DemoArgs { dir: path.clone(), port, no_traffic: false, requests: Some(1), plain: true };
        assert_eq!(demo(&args).expect("a demo"), 0);
        let loaded = crate::config::load(&path.join("qcc.yaml"));
        assert!(loaded.config.is_some() && loaded.diagnostics.is_empty(), "{}", loaded.report(false));
        assert!(!loaded.text.contains("127.0.0.1:7860"), "{}", loaded.text);
    }
}
