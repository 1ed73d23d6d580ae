//! A disk that could not be written at the start, and when it is tried again.

use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::copy;
use super::open::{self, Opened, Trouble};

/// The first pause between two tries, and the longest; commits come more often.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// Whether the state directory may be used now; it has no other proxy then.
pub(super) type Leave = Box<dyn FnMut() -> bool + Send>;

/// See the module.
pub(super) struct Away {
    state: PathBuf,
    leave: Leave,
    due: Instant,
    pause: Duration,
}

impl Away {
    /// Of the state directory `state`.
    pub(super) fn new(state: PathBuf, leave: Leave) -> Self {
        Self { state, leave, due: Instant::now() + PAUSES.0, pause: PAUSES.0 }
    }

    /// The disk with everything `memory` holds; why not, if that can be told now.
    pub(super) fn look(&mut self, memory: &Connection) -> Result<Opened, Option<String>> {
        let now = Instant::now();
        if now < self.due {
            return Err(None);
        }
        self.pause = (self.pause * 2).min(PAUSES.1);
        self.due = now + self.pause;
        if !(self.leave)() {
            return Err(None);
        }
        let mut opened = open::on_disk(&self.state).map_err(|trouble| match trouble {
            Trouble::Unusable(error) => Some(error.to_string()),
            Trouble::Unwritable(why) => Some(why),
        })?;
        match copy::back(memory, &mut opened.connection) {
            Ok(()) => Ok(opened),
            Err(error) => Err(Some(format!("`{}` cannot be written: {error}", self.state.display()))),
        }
    }
}

impl fmt::Debug for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Away({})", self.state.display())
    }
}
