//! Things that happen in a running proxy, told once and heard by any number of listeners (log, demo view, notify).
//!
//! Telling never blocks and never fails: a listener that falls behind loses the oldest events, the proxy loses nothing.
//! No event carries a secret, a prompt or an answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A request ended.
    Request(Box<RequestRecord>),
    /// A saved file was accepted and is live.
    Reloaded {
        /// Counts accepted files.
        generation: u64,
        /// What changed, in words; empty if nothing that matters.
        changes: Vec<String>,
        /// Keys whose new value waits for a restart.
        restart_required: Vec<String>,
    },
    /// A saved file was not accepted; the old one keeps serving.
    Rejected {
        /// The diagnostics as `qcc validate` prints them.
        report: String,
        /// How many of them are errors.
        errors: usize,
    },
    /// Another profile became active.
    Switched {
        /// The profile before.
        from: Arc<str>,
        /// The profile now.
        to: Arc<str>,
        /// `manual`, `failover`, `recovery` or `reload`.
        cause: &'static str,
        /// Why, in words.
        reason: String,
    },
    /// An endpoint was taken out of rotation, or rests.
    Ejected {
        /// `PROFILE/ID`.
        endpoint: String,
        /// Why, in words.
        reason: String,
        /// For how long, where that is known.
        duration: Option<Duration>,
    },
    /// A key was refused: its endpoint is out until the key changes or works again.
    DeadKey {
        /// `PROFILE/ID`.
        endpoint: String,
        /// What the endpoint said, in words.
        reason: String,
    },
    /// An endpoint admits again.
    Admitted {
        /// `PROFILE/ID`.
        endpoint: String,
    },
    /// A queued request was answered.
    QueueDone {
        /// Its name.
        id: String,
    },
    /// A queued request was given up.
    QueueDead {
        /// Its name.
        id: String,
        /// Why, in words.
        reason: String,
    },
}

/// What is recorded of one request.
#[derive(Clone, Debug, Default)]
pub struct RequestRecord {
    /// Name of the client, where clients are configured.
    pub client: Option<Arc<str>>,
    /// Request method.
    pub method: String,
    /// Request path without its query.
    pub path: String,
    /// Model the client asked for.
    pub model: Option<String>,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Profile that answered.
    pub profile: Option<Arc<str>>,
    /// Endpoint id that answered.
    pub endpoint: Option<Arc<str>>,
    /// Every try, in order.
    pub attempts: Vec<AttemptRecord>,
    /// Status sent to the client; 0 if it left before.
    pub status: u16,
    /// How it ended: `ok`, `cancelled`, `cut`, or the reason of `qcc-error`.
    pub result: &'static str,
    /// From acceptance to the first byte sent downstream.
    pub first_byte: Option<Duration>,
    /// From acceptance to the end.
    pub total: Duration,
    /// Bytes of the request body.
    pub bytes_in: u64,
    /// Bytes of the answer body.
    pub bytes_out: u64,
    /// Token usage, where the answer tells it.
    pub tokens: Tokens,
}

/// One try at one endpoint.
#[derive(Clone, Debug)]
pub struct AttemptRecord {
    /// `PROFILE/ID`.
    pub endpoint: String,
    /// Outcome in words: `success`, `local`, `server`, `rate`, `auth`, `conflict`, `model`, `client`, `cancelled`.
    pub outcome: &'static str,
    /// Upstream status, 0 if there was none.
    pub status: u16,
    /// What went wrong, without secrets; empty on success.
    pub detail: String,
    /// How long it took, from the end of the try before it or the acceptance of the request, until it was decided.
    pub took: Duration,
}

/// Token usage as the API reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Tokens read, without those from the cache.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// Tokens read from the prompt cache.
    pub cache_read: u64,
    /// Tokens written into the prompt cache.
    pub cache_write: u64,
}

/// The place where events are told and heard. Cheap to clone.
///
/// Requests are many and seldom wanted: telling one costs an atomic read unless somebody hears [`Events::listen`].
#[derive(Clone, Debug)]
pub struct Events {
    all: broadcast::Sender<Arc<Event>>,
    rare: broadcast::Sender<Arc<Event>>,
}

impl Events {
    /// A place that keeps the last 1,024 events for slow listeners.
    pub fn new() -> Self {
        Self { all: broadcast::channel(1024).0, rare: broadcast::channel(1024).0 }
    }

    /// Tells `event` to everyone who listens.
    pub fn tell(&self, event: Event) {
        let rare = !matches!(event, Event::Request(_));
        let event = Arc::new(event);
        // A receiver may leave in between; then nobody wanted it.
        if self.heard() {
            drop(self.all.send(Arc::clone(&event)));
        }
        if rare {
            drop(self.rare.send(event));
        }
    }

    /// Whether anyone hears requests.
    pub fn heard(&self) -> bool {
        self.all.receiver_count() > 0
    }

    /// Hears everything told from now on.
    pub fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.all.subscribe()
    }

    /// Hears everything told from now on but requests.
    pub fn listen_but_requests(&self) -> broadcast::Receiver<Arc<Event>> {
        self.rare.subscribe()
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
