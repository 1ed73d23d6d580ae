//! The worker threads, each with a runtime of its own.

use std::cell::RefCell;
use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use super::StartError;
use crate::dispatch::{Shared, Worker};
use crate::limit::{Limit, Share};
use crate::net::{OwnAddresses, tls};
use crate::proxy::serve::{Accepted, Phase, serve};
use crate::proxy::service::Door;
use crate::queue::Queue;
use crate::telemetry::meter::Origin;
use crate::upstream::balance::Picker;
use crate::upstream::client::Client;

/// How often unused connections to endpoints are looked through.
const SWEEP: Duration = Duration::from_secs(15);

/// How long ended streams may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// What every worker is given.
#[derive(Clone)]
pub(super) struct Site {
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Arc<Queue>,
    pub(super) own: OwnAddresses,
    pub(super) tls: Option<tls::Acceptor>,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) in_flight: Limit,
    pub(super) buffered: Limit,
}

/// All workers.
pub(super) struct Crew {
    /// Connections of all workers.
    pub(super) places: Limit,
    desks: Vec<Desk>,
    left: watch::Receiver<usize>,
}

/// Where one worker gets its connections.
struct Desk {
    load: Arc<AtomicUsize>,
    queue: mpsc::UnboundedSender<Dealt>,
    dismissed: watch::Sender<bool>,
}

/// A connection that was dealt to a worker, and counts there until it ends.
struct Dealt {
    stream: TcpStream,
    place: Share,
    load: Load,
}

struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Crew {
    /// Starts `number` workers.
    pub(super) fn hire(number: usize, site: &Site) -> Result<Self, StartError> {
        let (gone, left) = watch::channel(number);
        let gone = Arc::new(gone);
        let desks =
            (0..number).map(|nth| Desk::open(nth, site, Leaving(Arc::clone(&gone)))).collect::<Result<_, _>>()?;
        Ok(Self { places: Limit::default(), desks, left })
    }

    /// Gives a connection to the worker that has the fewest.
    pub(super) fn deal(&self, stream: TcpStream, place: Share) {
        // A worker that is gone has no load: it must not draw all connections to itself.
        let here = self.desks.iter().filter(|desk| !desk.queue.is_closed());
        let Some(desk) = here.min_by_key(|desk| desk.load.load(Ordering::Relaxed)) else { return };
        desk.load.fetch_add(1, Ordering::Relaxed);
        let dealt = Dealt { stream, place, load: Load(Arc::clone(&desk.load)) };
        if desk.queue.send(dealt).is_err() {
            tracing::error!("a worker is gone; its connection is closed");
        }
    }

    /// No connections will come any more: workers leave when the ones they have end.
    pub(super) fn dismiss(&self) {
        for desk in &self.desks {
            desk.dismissed.send_replace(true);
        }
    }

    /// Waits until every worker has left.
    pub(super) async fn left(&self) {
        // Without a sender no worker is left.
        drop(self.left.clone().wait_for(|left| *left == 0).await);
    }
}

/// Tells, however a worker ends, that it has left.
struct Leaving(Arc<watch::Sender<usize>>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.send_modify(|left| *left = left.saturating_sub(1));
    }
}

impl Desk {
    fn open(nth: usize, site: &Site, leaving: Leaving) -> Result<Self, StartError> {
        let (queue, dealt) = mpsc::unbounded_channel();
        let (dismissed, heard) = watch::channel(false);
        let (tell, started) = std::sync::mpsc::sync_channel(1);
        let site = site.clone();
        let work = move || {
            let _leaving = leaving;
            // A local runtime stays on the thread that built it.
            let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
            match runtime {
                Ok(runtime) => {
                    let _ = tell.send(Ok(()));
                    runtime.block_on(work(site, dealt, heard));
                }
                Err(error) => drop(tell.send(Err(error))),
            }
        };
        std::thread::Builder::new().name(format!("qcc-{nth}")).spawn(work).map_err(StartError::Thread)?;
        let ended = |_| Err(io::Error::other("a worker ended before it began"));
        started.recv().unwrap_or_else(ended).map_err(StartError::Thread)?;
        Ok(Self { load: Arc::default(), queue, dismissed })
    }
}

/// One worker's whole work.
async fn work(site: Site, mut dealt: mpsc::UnboundedReceiver<Dealt>, mut dismissed: watch::Receiver<bool>) {
    let Site { shared, queue, own, tls, phase, in_flight, buffered } = site;
    let client = Client::new(own);
    let picker = RefCell::new(Picker::new(fastrand::u64(..)));
    let meter = shared.meters.open(Origin::Client);
    let worker = Rc::new(Worker { shared, client: client.clone(), meter, picker });
    let door = Rc::new(Door { worker, queue, in_flight, buffered });
    let attend = |dealt| attend(Rc::clone(&door), dealt, tls.clone(), phase.clone());
    let mut connections = JoinSet::new();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            Some(dealt) = dealt.recv() => drop(connections.spawn_local(attend(dealt))),
            Some(ended) = connections.join_next() => log_panic(ended),
            _ = sweep.tick() => tidy(&door, &client),
            _ = dismissed.wait_for(|dismissed| *dismissed) => break,
        }
    }
    // What was accepted is served, also if its worker was told to leave first.
    while let Ok(dealt) = dealt.try_recv() {
        connections.spawn_local(attend(dealt));
    }
    tokio::select! {
        () = finish(&mut connections) => {}
        () = goodbye(phase.clone()) => tracing::warn!("some requests did not end in time"),
    }
}

async fn finish(connections: &mut JoinSet<()>) {
    while let Some(ended) = connections.join_next().await {
        log_panic(ended);
    }
}

/// Waits until everything is to end, and a little longer.
async fn goodbye(mut phase: watch::Receiver<Phase>) {
    // Without a sender everything has ended.
    drop(phase.wait_for(|phase| *phase == Phase::Ending).await);
    tokio::time::sleep(GOODBYE).await;
}

async fn attend(door: Rc<Door>, dealt: Dealt, tls: Option<tls::Acceptor>, phase: watch::Receiver<Phase>) {
    let Dealt { stream, place, load: _load } = dealt;
    let local = stream.local_addr();
    match tokio::net::TcpStream::from_std(stream).and_then(|stream| Ok((stream, local?))) {
        Ok((stream, local)) => serve(door, Accepted { stream, local, place }, tls, phase).await,
        Err(error) => tracing::debug!(%error, "a connection ended before it was served"),
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task ended badly");
    }
}

/// Closes connections to endpoints that nobody uses.
fn tidy(door: &Door, client: &Client<crate::dispatch::replay::ReplayBody>) {
    let snapshot = door.worker.shared.cell.load();
    let in_use: std::collections::HashSet<_> =
        snapshot.endpoints().filter_map(|endpoint| endpoint.target.as_ref()).map(|target| target.pool()).collect();
    client.forget_unused(&|pool| in_use.contains(&pool));
    client.idle_sweep();
}
