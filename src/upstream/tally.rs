//! How often requests ended which way at one endpoint, since it is known.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::outcome::Outcome;

/// Counters, written by workers without a lock.
#[derive(Debug, Default)]
pub(super) struct Tally {
    succeeded: AtomicU64,
    failed: AtomicU64,
    rated: AtomicU64,
    refused: AtomicU64,
    waited: AtomicU64,
    input: AtomicU64,
    output: AtomicU64,
}

/// What was counted of the requests of one endpoint. Checks are not among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Answered well.
    pub succeeded: u64,
    /// Failed by the endpoint.
    pub failed: u64,
    /// Met a 429.
    pub rate_limited: u64,
    /// Met a refused key.
    pub refused: u64,
    /// Milliseconds to the first byte of those answered well, together.
    pub first_byte_ms: u64,
    /// Tokens read, those of the prompt cache included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

impl Tally {
    /// Counts a request that ended with `outcome`.
    pub(super) fn add(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Success => &self.succeeded,
            Outcome::Local | Outcome::Server { .. } => &self.failed,
            Outcome::Rate(_) => &self.rated,
            Outcome::Auth => &self.refused,
            Outcome::Conflict | Outcome::Model | Outcome::Client | Outcome::Cancelled => return,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A good answer began after `took`.
    pub(super) fn waited(&self, took: Duration) {
        self.waited.fetch_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// An answer told what it cost.
    pub(super) fn spent(&self, input: u64, output: u64) {
        self.input.fetch_add(input, Ordering::Relaxed);
        self.output.fetch_add(output, Ordering::Relaxed);
    }

    /// Adds what was counted before.
    pub(super) fn restore(&self, counts: &Counts) {
        for (counter, count) in [
            (&self.succeeded, counts.succeeded),
            (&self.failed, counts.failed),
            (&self.rated, counts.rate_limited),
            (&self.refused, counts.refused),
            (&self.waited, counts.first_byte_ms),
            (&self.input, counts.input_tokens),
            (&self.output, counts.output_tokens),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            succeeded: read(&self.succeeded),
            failed: read(&self.failed),
            rate_limited: read(&self.rated),
            refused: read(&self.refused),
            first_byte_ms: read(&self.waited),
            input_tokens: read(&self.input),
            output_tokens: read(&self.output),
        }
    }
}
