//! The record of one request, from its acceptance to its end, told exactly once.
//!
//! Invariant: a journal that is dropped without [`Journal::end`] tells that the client left, or that the proxy did not let
//! the request go on to its end, which the client was told.

use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use http_body::Body as _;
use tokio::time::Instant;

use super::relay::Body;
use super::{Shared, Worker};
use crate::telemetry::event::{AttemptRecord, RequestRecord};
use crate::telemetry::meter::{Meter, Origin};
use crate::telemetry::{Event, log};
use crate::upstream::outcome::Outcome;

/// Why a request is answered that the end of the proxy interrupts.
pub const STOPPING: &str = "stopping";

/// Collects what is to be told of one request.
#[derive(Debug)]
pub struct Journal {
    /// What is known so far.
    pub record: Box<RequestRecord>,
    accepted: Instant,
    shared: Arc<Shared>,
    meter: Arc<Meter>,
    ended: bool,
}

impl Journal {
    /// Opens the record of a request accepted now.
    pub fn open(record: RequestRecord, worker: &Worker) -> Self {
        let (shared, meter) = (Arc::clone(&worker.shared), Arc::clone(&worker.meter));
        Self { record: Box::new(record), accepted: Instant::now(), shared, meter, ended: false }
    }

    /// When the request was accepted.
    pub fn accepted(&self) -> Instant {
        self.accepted
    }

    /// An endpoint is asked now. Until it is known how that ended it counts as cancelled, since the client may leave.
    pub fn asks(&mut self, endpoint: String) {
        let (outcome, detail) = (Outcome::Cancelled.as_str(), String::new());
        self.record.attempts.push(AttemptRecord { endpoint, outcome, status: 0, detail, took: Duration::ZERO });
    }

    /// The endpoint that was asked has answered with `status` (0: not at all).
    pub fn answered(&mut self, status: u16, now: Instant) {
        let before: Duration = self.record.attempts.iter().map(|attempt| attempt.took).sum();
        let took = (now - self.accepted).saturating_sub(before);
        if let Some(attempt) = self.record.attempts.last_mut() {
            (attempt.status, attempt.took) = (status, took);
        }
    }

    /// It is known how the last try ended.
    pub fn found(&mut self, outcome: &Outcome, detail: &str) {
        if let Some(attempt) = self.record.attempts.last_mut() {
            attempt.outcome = outcome.as_str();
            detail.clone_into(&mut attempt.detail);
        }
    }

    /// The answer of the last try has gone down as a whole; if nothing else was found of it, it is a success.
    pub fn whole(&mut self) {
        let attempt = self.record.attempts.last_mut();
        if let Some(attempt) = attempt.filter(|attempt| attempt.outcome == Outcome::Cancelled.as_str()) {
            attempt.outcome = Outcome::Success.as_str();
        }
    }

    /// The head of the answer goes to the client now.
    pub fn head(&mut self, status: u16, now: Instant) {
        self.record.status = status;
        self.record.first_byte = Some(now - self.accepted);
    }

    /// The request ends with an answer that is whole already.
    pub fn close(mut self, response: Response<Body>, result: &'static str) -> Response<Body> {
        self.head(response.status().as_u16(), Instant::now());
        self.record.bytes_out = response.body().size_hint().exact().unwrap_or_default();
        self.end(result);
        response
    }

    /// The request ended; `result` is `ok`, `cut`, or a reason of the proxy's own.
    pub fn end(&mut self, result: &'static str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.record.result = result;
        self.record.total = self.accepted.elapsed();
        self.meter.count(&self.record);
        log::request_line(&self.record);
        if self.shared.events.heard() {
            self.shared.events.tell(Event::Request(std::mem::take(&mut self.record)));
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        let unanswered = self.record.status == 0 && self.meter.origin() == Origin::Client;
        if unanswered && self.shared.is_ending() {
            self.record.status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            return self.end(STOPPING);
        }
        self.end("cancelled");
    }
}
