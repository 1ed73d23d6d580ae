//! What the system says of processes: their CPU time, their memory, their core.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores this process was given: one for the proxy, one for everything else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    pub(crate) proxy: usize,
    pub(crate) load: usize,
}

impl Cores {
    /// The first and the last core; the same one where there is no other.
    pub(crate) fn find() -> io::Result<Self> {
        let given = sched_getaffinity(None)?;
        let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|core| given.is_set(*core)).collect();
        let (proxy, load) = (cores.first().copied().unwrap_or(0), cores.last().copied().unwrap_or(0));
        Ok(Self { proxy, load })
    }
}

/// Moves this thread, and the threads and processes it starts from now on, to `core`.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    Ok(sched_setaffinity(None, &set)?)
}

/// A process and its children.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    std::iter::once(pid).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
}

/// CPU time of a process and its children so far, of all their threads.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    family(pid).into_iter().map(cpu_time_of_one).sum()
}

fn cpu_time_of_one(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold anything, so fields are counted from its closing bracket: user and system time are 12 and 13.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Memory of a process and its children in KiB; what they share is counted once.
pub(crate) fn memory(pid: u32) -> u64 {
    family(pid).into_iter().map(memory_of_one).sum()
}

fn memory_of_one(pid: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let proportional = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
    proportional.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
