//! Delivers the messages of one target, one after the other: three tries each, with a pause between, then it is given up.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::message::Message;
use super::program;
use super::target::Target;
use super::webhook::Webhook;

/// Longest time of one try.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the tries; one try more than pauses.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// Why a try failed.
#[derive(Debug)]
pub(super) struct Failure {
    why: String,
    /// Whether another try may go better.
    again: bool,
}

impl Failure {
    /// It may go better the next time.
    pub(super) fn passing(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), again: true }
    }

    /// It will not go better.
    pub(super) fn lasting(why: impl fmt::Display) -> Self {
        Self { why: why.to_string(), again: false }
    }
}

/// Delivers `messages` to `target` until there will be no more; programs are run in `dir`.
pub(super) async fn run(target: Target, mut messages: mpsc::Receiver<Arc<Message>>, dir: PathBuf) {
    target.keep_secret();
    let mut lane = Lane { target, dir, webhook: None };
    while let Some(message) = messages.recv().await {
        match lane.deliver(&message).await {
            Ok(()) => tracing::debug!(to = %lane.target, event = message.name(), "told"),
            Err(Failure { why, .. }) => {
                tracing::warn!(to = %lane.target, event = message.name(), reason = why, "not told");
            }
        }
    }
}

struct Lane {
    target: Target,
    dir: PathBuf,
    webhook: Option<Webhook>,
}

impl Lane {
    async fn deliver(&mut self, message: &Message) -> Result<(), Failure> {
        for pause in PAUSES {
            match self.attempt(message).await {
                Err(failure) if failure.again => sleep(pause).await,
                ended => return ended,
            }
        }
        self.attempt(message).await
    }

    async fn attempt(&mut self, message: &Message) -> Result<(), Failure> {
        let late = |_| Err(Failure::passing(format_args!("it took longer than {} s", PATIENCE.as_secs())));
        timeout(PATIENCE, self.hand_over(message)).await.unwrap_or_else(late)
    }

    async fn hand_over(&mut self, message: &Message) -> Result<(), Failure> {
        let (url, headers) = match &self.target {
            Target::Program(words) => return program::run(words, &self.dir, message).await,
            Target::Webhook(url, headers) => (url, headers),
        };
        let webhook = match self.webhook.take() {
            Some(webhook) => webhook,
            None => Webhook::open(url.clone(), headers).await?,
        };
        self.webhook.insert(webhook).post(message.body.clone()).await
    }
}
