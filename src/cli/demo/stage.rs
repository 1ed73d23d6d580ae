//! The demo while it runs: its traffic, what it shows, and its end.

use std::future::pending;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{interval, sleep};

use super::cast::{CAST, Seat, addresses, seats};
use super::intro::Intro;
use super::place::Place;
use super::pulse::pulse;
use super::screen::{Screen, width};
use super::style::Palette;
use super::view::View;
use crate::app::Running;
use crate::simulate::Simulator;
use crate::telemetry::Event;
use crate::time::Moment;

/// Time between two drawings of the table.
const REDRAW: Duration = Duration::from_millis(250);

/// For what is about to finish when the demo ends; the rest is ended with the proxy.
const PARTING: Duration = Duration::from_millis(300);

/// How many requests the demo sends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Traffic {
    /// None.
    None,
    /// So many, then it ends.
    Some(u32),
    /// One a second.
    Endless,
}

/// Everything that is there while the demo runs; the proxy ends first.
#[derive(Debug)]
pub(super) struct Stage {
    proxy: Running,
    simulator: Simulator,
    place: Place,
}

impl Stage {
    /// A stage around a running proxy.
    pub(super) fn new(place: Place, simulator: Simulator, proxy: Running) -> Self {
        Self { proxy, simulator, place }
    }

    /// Prints where things are and what to try; `taken` are ports that had to be replaced.
    pub(super) fn introduce(&self, taken: &[(u16, u16)], palette: Palette) -> io::Result<()> {
        let cast = addresses(&self.simulator);
        let intro = Intro { proxy: self.address(), path: &self.place.path, cast, taken };
        let mut out = io::stdout();
        out.write_all(intro.text(palette).as_bytes())?;
        out.flush()
    }

    /// Runs until the traffic or the user ends it; returns how many requests failed. Without a palette nothing is drawn.
    pub(super) async fn play(&self, traffic: Traffic, live: Option<Palette>) -> io::Result<u32> {
        let show = async {
            match live {
                Some(palette) => self.draw(palette).await,
                None => pending().await,
            }
        };
        let failed = tokio::select! {
            failed = self.send(traffic) => Ok(failed),
            shown = show => shown.map(|()| 0),
            ended = end() => ended.map(|()| 0),
        };
        self.proxy.drain();
        sleep(PARTING).await;
        failed
    }

    fn address(&self) -> SocketAddr {
        *self.proxy.addresses.first().expect("a proxy that started listens somewhere")
    }

    async fn send(&self, traffic: Traffic) -> u32 {
        let failed = match traffic {
            Traffic::None => pending().await,
            Traffic::Some(limit) => pulse(self.address(), Some(limit)).await,
            Traffic::Endless => pulse(self.address(), None).await,
        };
        // The table is drawn once more, with the last of them.
        sleep(2 * REDRAW).await;
        failed
    }

    async fn draw(&self, palette: Palette) -> io::Result<()> {
        let mut heard = self.proxy.events.listen();
        let mut view = View::new(self.seats(), self.active(), Moment::now());
        let mut screen = Screen::new(io::stdout());
        let mut lines = Vec::new();
        let mut beat = interval(REDRAW);
        loop {
            tokio::select! {
                event = heard.recv() => match event {
                    Ok(event) => lines.extend(self.hear(&mut view, &event, palette)),
                    // Events that went by are lost to the table, which only counts.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return Ok(()),
                },
                _ = beat.tick() => {
                    self.observe(&mut view);
                    let width = width();
                    screen.show(&std::mem::take(&mut lines), &view.table(Moment::now(), width, palette), width)?;
                }
            }
        }
    }

    fn hear(&self, view: &mut View, event: &Event, palette: Palette) -> Vec<String> {
        if let Event::Reloaded { .. } = event {
            view.reseat(self.seats());
        }
        view.hear(event, Moment::now(), width(), palette)
    }

    fn active(&self) -> Option<String> {
        self.proxy.cell.load().active_profile().map(|profile| profile.name.to_string())
    }

    fn seats(&self) -> Vec<Seat> {
        seats(&self.proxy.cell.load().config)
    }

    /// Tells the view how the simulated endpoints behind its seats behave.
    fn observe(&self, view: &mut View) {
        let cast: Vec<_> = addresses(&self.simulator).iter().map(SocketAddr::port).zip(CAST).collect();
        let behaviours: Vec<_> = view
            .seats()
            .iter()
            .filter_map(|seat| {
                let (_, (_, id)) = cast.iter().find(|(port, _)| seat.port() == Some(*port))?;
                Some((seat.name(), self.simulator.behaviour(id)?))
            })
            .collect();
        view.behave(behaviours);
    }
}

/// Ends with Ctrl-C or a polite request from elsewhere.
async fn end() -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}
