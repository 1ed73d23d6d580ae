//! The record of one request, from its acceptance to its end, told exactly once.
//!
//! Invariant: a journal that is dropped without [`Journal::end`] tells that the client left, or that the proxy did not let
//! the request go on to its end, which the client was told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Response, StatusCode};
use http_body::Body as _;

use super::relay::Body;
use super::{Shared, Worker};
use crate::telemetry::event::{AttemptRecord, RequestRecord};
use crate::telemetry::meter::{Meter, Origin};
use crate::telemetry::{Event, log};

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

    /// Time since the request was accepted.
    pub fn age(&self) -> Duration {
        self.accepted.elapsed()
    }

    /// Notes a try.
    pub fn attempt(&mut self, attempt: AttemptRecord) {
        self.record.attempts.push(attempt);
    }

    /// The head of the answer goes to the client now.
    pub fn head(&mut self, status: u16) {
        self.record.status = status;
        self.record.first_byte = Some(self.age());
    }

    /// The request ends with an answer that is whole already.
    pub fn close(mut self, response: Response<Body>, result: &'static str) -> Response<Body> {
        self.head(response.status().as_u16());
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
        self.record.total = self.age();
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
