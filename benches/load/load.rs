//! Shapes of load. Threads that block are as cheap as anything here, and keep exact time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::endpoint::spawn;

/// Connections that a fixed rate is spread over.
const LANES: u32 = 32;

/// Asks over `connections` connections at once, one request after the other, for `time`. Returns how many were answered.
pub(crate) fn closed(address: SocketAddr, request: &Arc<[u8]>, connections: usize, time: Duration) -> io::Result<u64> {
    let until = Instant::now() + time;
    let lanes = (0..connections).map(|_| {
        let request = Arc::clone(request);
        spawn(move || {
            let mut connection = Connection::open(address)?;
            let mut answered = 0;
            while Instant::now() < until {
                connection.ask(&request)?;
                answered += 1;
            }
            Ok(answered)
        })
    });
    Ok(join(lanes.collect::<io::Result<_>>()?)?.into_iter().sum())
}

/// Asks `rate` times a second for `time`, whatever the answers do: the time of each counts from when it was due. With
/// `first`, to the first byte of its body only.
pub(crate) fn at_rate(
    address: SocketAddr,
    request: &Arc<[u8]>,
    rate: u32,
    time: Duration,
    first: bool,
) -> io::Result<Vec<Duration>> {
    let start = Instant::now() + Duration::from_millis(50);
    let gap = Duration::from_secs(1) / rate;
    let each = rate * u32::try_from(time.as_millis()).unwrap_or(u32::MAX) / 1000 / LANES;
    let lanes = (0..LANES).map(|lane| {
        let request = Arc::clone(request);
        spawn(move || {
            rustix::thread::set_current_timer_slack(std::num::NonZero::new(1))?;
            let mut connection = Connection::open(address)?;
            // The first one opens the way up, which is not what is measured.
            connection.ask(&request)?;
            let mut took = Vec::new();
            for nth in 0..each {
                let due = start + gap * (nth * LANES + lane);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let head = connection.begin(&request)?;
                connection.finish()?;
                let answered = if first { head } else { Instant::now() };
                took.push(answered.saturating_duration_since(due));
            }
            Ok(took)
        })
    });
    let mut all: Vec<Duration> = join(lanes.collect::<io::Result<_>>()?)?.into_iter().flatten().collect();
    all.sort_unstable();
    Ok(all)
}

/// Opens `number` streams that stay open.
pub(crate) fn hold(address: SocketAddr, request: &[u8], number: usize) -> io::Result<Vec<Connection>> {
    let open = |_| {
        let mut connection = Connection::open(address)?;
        connection.begin(request).map(|_| connection)
    };
    (0..number).map(open).collect()
}

/// What all lanes came to; the first failure is that of all.
fn join<T>(lanes: Vec<JoinHandle<io::Result<T>>>) -> io::Result<Vec<T>> {
    lanes.into_iter().map(|lane| lane.join().map_err(|_| io::Error::other("a lane panicked"))?).collect()
}
