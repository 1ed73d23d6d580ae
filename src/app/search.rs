//! Finds the proxy that runs a file, whatever its state and control socket depend on.
//!
//! There are two signs of it: the lock in its state directory, which says where its control socket is, and the control
//! socket, where it says itself where its state is. `state.dir` of a saved file waits for a restart, and a command may
//! have other variables than the proxy was started with; so either sign is looked for wherever it can be, and one is
//! enough.
//!
//! - What a dead process left is no sign: nobody holds its lock, and nobody answers at its socket.
//! - A proxy of another file that uses the same directory is not meant.

use std::io;
use std::path::{Path, PathBuf};

use super::lock::{self, Holder};
use crate::admin::client::{Client, ClientError};
use crate::admin::view::{Phase, Status};
use crate::config::{Elsewhere, Instance, instance_id};

/// A file, and who runs it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its places: those of its proxy where one runs, else those the file and the environment name now.
    pub instance: Instance,
    /// Who runs it, if anybody.
    pub holder: Option<Holder>,
}

impl Found {
    /// The way to the proxy.
    pub fn client(&self) -> Result<Client, ClientError> {
        match self.holder {
            Some(_) => Client::at(self.instance.socket.clone()),
            None => Err(ClientError::NotRunning(self.instance.config.clone())),
        }
    }
}

/// Looks for the proxy of `config`; `state_dir` is the `state.dir` that the file says now. Blocks, for seconds at most.
pub fn find(config: &Path, state_dir: Option<&Path>) -> io::Result<Found> {
    let now = Instance::here(config, state_dir);
    let holder = holder(&now)?;
    let Some(found) = &holder else { return Ok(Found { instance: now, holder }) };
    let socket = found.socket.clone().unwrap_or(now.socket);
    Ok(Found { instance: Instance { state: found.state.clone(), socket, ..now }, holder })
}

/// Who runs the file of `instance`; an error if that cannot be known.
pub fn holder(instance: &Instance) -> io::Result<Option<Holder>> {
    let ours = |holder: &Holder| instance_id(&holder.config) == instance.id;
    let usual = lock::holder(&instance.state).map(|holder| holder.filter(ours));
    if let Ok(Some(holder)) = usual {
        return Ok(Some(holder));
    }
    let Elsewhere { states, sockets } = instance.elsewhere();
    let held = |state: &PathBuf| lock::holder(state).ok().flatten().filter(ours);
    if let Some(holder) = states.iter().find_map(held) {
        return Ok(Some(holder));
    }
    let answering = answering(instance, &instance.socket);
    if let Ok(Some(holder)) = answering {
        return Ok(Some(holder));
    }
    match sockets.iter().find_map(|socket| self::answering(instance, socket).ok().flatten()) {
        Some(holder) => Ok(Some(holder)),
        None => answering.and(usual),
    }
}

/// Who answers at `socket`; an error if somebody is there and does not say it.
fn answering(instance: &Instance, socket: &Path) -> io::Result<Option<Holder>> {
    let is_there = || std::os::unix::net::UnixStream::connect(socket).is_ok();
    if !is_there() {
        return Ok(None);
    }
    let status = match Client::at(socket.to_owned()).and_then(|client| client.get::<Status>("/v1/status")) {
        Ok(status) if status.instance == instance.id => status,
        Err(error) if is_there() => return Err(io::Error::other(error.to_string())),
        // Of another file, or it has ended meanwhile.
        Ok(_) | Err(_) => return Ok(None),
    };
    // The lock says more; a proxy that has none says this much.
    let locked = lock::holder(Path::new(&status.state_dir)).ok().flatten().filter(|holder| holder.pid == status.pid);
    Ok(Some(locked.unwrap_or_else(|| as_it_says(status, socket))))
}

fn as_it_says(status: Status, socket: &Path) -> Holder {
    Holder {
        pid: status.pid,
        started: status.started.0,
        config: status.config.into(),
        state: status.state_dir.into(),
        socket: Some(socket.to_owned()),
        addresses: status.listen,
        version: status.version,
        log: status.log.map(PathBuf::from),
        draining: (status.phase == Phase::Draining).then_some(status.in_flight),
        embedded: false,
        use_last_good: false,
        supervised: false,
    }
}
