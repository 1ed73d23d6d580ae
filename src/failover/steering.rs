//! Switching by hand, and what can be seen of the active profile.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::machine::Memory;
use crate::time::Moment;

/// Commands that wait; more wait to be put there.
const WAITING: usize = 16;

/// What a person wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// That this profile is active, and stays so.
    Switch {
        /// Its name.
        to: String,
        /// Why, in words.
        reason: Option<String>,
    },
    /// That the machine decides again.
    Auto,
    /// The next profile that is ready, without a pin.
    Failover {
        /// Why, in words.
        reason: Option<String>,
    },
}

/// What came of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The active profile.
    pub active: Arc<str>,
    /// The one before, if it is another one now.
    pub from: Option<Arc<str>>,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Whether a pin ended with this.
    pub released: bool,
}

/// Why a wish was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No profile of the chain has this name.
    Unknown {
        /// What was asked for.
        name: String,
        /// The names there are.
        chain: Vec<Arc<str>>,
    },
    /// The profile has no enabled endpoint.
    Empty(String),
    /// No other profile is ready.
    NoOther,
    /// The chain is empty.
    NoChain,
    /// The proxy is stopping.
    Stopping,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { name, chain } => {
                write!(f, "no profile `{name}` takes traffic; those with a tier are: {}", chain.join(", "))
            }
            Self::Empty(name) => write!(f, "profile `{name}` has no enabled endpoint"),
            Self::NoOther => f.write_str("no other profile of the chain can serve now"),
            Self::NoChain => f.write_str("no profile has a tier: `qcc priority set NAME primary` gives it one"),
            Self::Stopping => f.write_str("the proxy is stopping"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A wish on its way, with the way back.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) wish: Wish,
    pub(super) answer: oneshot::Sender<Result<Done, Refusal>>,
    /// Told by the publisher when the switch is what runs.
    pub(super) published: oneshot::Sender<()>,
}

/// A better profile that is to become active again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Returning {
    /// Its name.
    pub profile: Arc<str>,
    /// Whether an endpoint of it admits.
    pub ready: bool,
    /// Good probes in a row so far; `None` where it is not probed and requests are its trial.
    pub good_probes: Option<u32>,
    /// How many it needs.
    pub needed: u32,
}

/// What can be seen of the active profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The active profile, if there is a chain.
    pub active: Option<Arc<str>>,
    /// Requests in a row that it failed or spilled.
    pub failures: u32,
    /// The earliest moment of the next recovery; `None` if there will be none.
    pub recovery_from: Option<Moment>,
    /// Who comes next then.
    pub returning: Option<Returning>,
    /// What a later process has to know.
    pub memory: Memory,
}

/// Steers the active profile by hand. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Steering {
    commands: mpsc::Sender<Command>,
    view: watch::Receiver<View>,
}

/// The driver's end.
#[derive(Debug)]
pub struct Wheel {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) view: watch::Sender<View>,
}

impl Steering {
    /// The two ends.
    pub fn channel() -> (Self, Wheel) {
        let (commands, received) = mpsc::channel(WAITING);
        let view = watch::Sender::new(View::default());
        (Self { commands, view: view.subscribe() }, Wheel { commands: received, view })
    }

    /// Has a wish carried out; comes back when it is what runs.
    pub async fn ask(&self, wish: Wish) -> Result<Done, Refusal> {
        let (answer, answered) = oneshot::channel();
        let (published, runs) = oneshot::channel();
        let command = Command { wish, answer, published };
        self.commands.send(command).await.map_err(|_| Refusal::Stopping)?;
        let done = answered.await.map_err(|_| Refusal::Stopping)??;
        // Where nothing had to be published there is nobody to tell.
        drop(runs.await);
        Ok(done)
    }

    /// What can be seen; tells of changes.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }
}
