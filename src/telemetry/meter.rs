//! What ended requests add up to, for the metrics.
//!
//! - One [`Meter`] per thread that serves: only it writes there, once at the end of a request, so its lock is free but for
//!   the moment in which somebody reads.
//! - Names that others choose (models) are bounded: those beyond the bound are counted as `other`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::HashMap;

use super::event::{AttemptRecord, RequestRecord, Tokens};

/// Upper bounds of the buckets of [`Waits`], in seconds.
pub const BUCKETS: [f64; 13] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Outcomes of attempts, as in [`AttemptRecord::outcome`].
pub const OUTCOMES: [&str; 9] =
    ["success", "local", "server", "rate", "auth", "conflict", "model", "client", "cancelled"];
/// Endpoints that are told apart; a file has fewer at a time, reloads may bring more.
const ENDPOINTS: usize = 4096;
/// Models that are told apart at each endpoint.
const MODELS: usize = 32;
/// A longer name is no model.
const LONGEST: usize = 64;
/// Where everything else is counted.
const OTHER: &str = "other";

/// Who wanted the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Clients.
    Client,
    /// The queue, for clients that left.
    Queue,
}

/// See the module.
#[derive(Debug)]
pub struct Meter {
    origin: Origin,
    sums: Mutex<Sums>,
}

/// All meters of a process. Cheap to clone; all clones know the same.
#[derive(Clone, Debug, Default)]
pub struct Meters(Arc<Mutex<Vec<Arc<Meter>>>>);

impl Meter {
    /// Who wanted what it counts.
    pub fn origin(&self) -> Origin {
        self.origin
    }
}

impl Meters {
    /// One more.
    pub fn open(&self, origin: Origin) -> Arc<Meter> {
        let meter = Arc::new(Meter { origin, sums: Mutex::default() });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(&meter));
        meter
    }

    /// What each of them counted so far.
    pub fn read(&self) -> Vec<(Origin, Sums)> {
        let meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meters.iter().map(|meter| (meter.origin, meter.lock().clone())).collect()
    }
}

/// What requests add up to.
#[derive(Clone, Debug, Default)]
pub struct Sums {
    /// Requests, by how they ended.
    pub requests: Vec<(Kind, u64)>,
    /// Time from acceptance to the first byte downstream, of what an endpoint answered well.
    pub waits: Waits,
    /// Attempts and tokens by endpoint, `PROFILE/ID`.
    pub endpoints: HashMap<Box<str>, Spent>,
}

/// How a request ended, and whose it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Name of the client, where clients are configured.
    pub client: Option<Arc<str>>,
    /// `ok`, `cancelled`, `cut`, or the reason of `qcc-error`.
    pub result: &'static str,
    /// Whether a stream was asked for.
    pub stream: bool,
}

/// Times in buckets.
#[derive(Clone, Debug, Default)]
pub struct Waits {
    /// How many in each of [`BUCKETS`], and beyond the last.
    pub counts: [u64; BUCKETS.len() + 1],
    /// All times together.
    pub sum: Duration,
}

/// What was tried and spent at an endpoint.
#[derive(Clone, Debug, Default)]
pub struct Spent {
    /// Attempts, in the order of [`OUTCOMES`].
    pub outcomes: [u64; OUTCOMES.len()],
    /// Tokens by model, as the client named it.
    pub models: Vec<(Box<str>, Tokens)>,
}

impl Meter {
    /// A request ended.
    pub fn count(&self, record: &RequestRecord) {
        self.lock().count(record);
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sums {
    fn count(&mut self, record: &RequestRecord) {
        self.ended(record);
        for attempt in &record.attempts {
            let outcome = OUTCOMES.iter().position(|outcome| *outcome == attempt.outcome);
            if let Some(outcome) = outcome {
                self.at(&attempt.endpoint).outcomes[outcome] += 1;
            }
        }
        if let Some(last) = record.attempts.last() {
            self.answered(record, last);
        }
    }

    fn ended(&mut self, record: &RequestRecord) {
        let (result, stream) = (record.result, record.stream);
        let same = |kind: &Kind| (kind.result, kind.stream, &kind.client) == (result, stream, &record.client);
        if let Some((_, count)) = self.requests.iter_mut().find(|(kind, _)| same(kind)) {
            *count += 1;
        } else {
            self.requests.push((Kind { client: record.client.clone(), result, stream }, 1));
        }
    }

    fn answered(&mut self, record: &RequestRecord, last: &AttemptRecord) {
        if let ("success", Some(wait)) = (last.outcome, record.first_byte) {
            self.waits.add(wait);
        }
        if record.tokens != Tokens::default() {
            self.at(&last.endpoint).spend(record.model.as_deref(), record.tokens);
        }
    }

    fn at(&mut self, endpoint: &str) -> &mut Spent {
        let known = self.endpoints.contains_key(endpoint) || self.endpoints.len() < ENDPOINTS;
        let name = if known { endpoint } else { OTHER };
        if !self.endpoints.contains_key(name) {
            self.endpoints.insert(name.into(), Spent::default());
        }
        self.endpoints.get_mut(name).expect("it was put there")
    }
}

impl Waits {
    fn add(&mut self, wait: Duration) {
        let seconds = wait.as_secs_f64();
        let bucket = BUCKETS.iter().position(|most| seconds <= *most).unwrap_or(BUCKETS.len());
        self.counts[bucket] += 1;
        self.sum += wait;
    }
}

impl Spent {
    fn spend(&mut self, model: Option<&str>, tokens: Tokens) {
        let name = model.filter(|model| model.len() <= LONGEST).unwrap_or(OTHER);
        let known = self.models.iter().any(|(known, _)| **known == *name) || self.models.len() < MODELS;
        let name = if known { name } else { OTHER };
        let found = self.models.iter_mut().find(|(known, _)| **known == *name);
        match found {
            Some((_, sum)) => add(sum, tokens),
            None => self.models.push((name.into(), tokens)),
        }
    }
}

fn add(sum: &mut Tokens, tokens: Tokens) {
    sum.input += tokens.input;
    sum.output += tokens.output;
    sum.cache_read += tokens.cache_read;
    sum.cache_write += tokens.cache_write;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(endpoint: &str, outcome: &'static str, model: &str) -> RequestRecord {
        let took = Duration::from_millis(1);
        let attempt = AttemptRecord { endpoint: endpoint.into(), outcome, status: 200, detail: String::new(), took };
        RequestRecord {
            result: "ok",
            attempts: vec![attempt],
            model: Some(model.into()),
            first_byte: Some(Duration::from_millis(200)),
            tokens: Tokens { input: 3, output: 4, ..Tokens::default() },
            ..RequestRecord::default()
        }
    }

    #[test]
    fn requests_attempts_waits_and_tokens_add_up() {
        let meters = Meters::default();
        let meter = meters.open(Origin::Client);
        let mut retried = record("p/b", "success", "m");
        retried.attempts.insert(0, record("p/a", "server", "m").attempts.remove(0));
        for record in [record("p/a", "success", "m"), retried] {
            meter.count(&record);
        }
        meter.count(&RequestRecord { result: "cancelled", stream: true, ..RequestRecord::default() });
        let (_, sums) = meters.read().remove(0);
        let requests: Vec<_> = sums.requests.iter().map(|(kind, count)| (kind.result, kind.stream, *count)).collect();
        assert_eq!(requests, [("ok", false, 2), ("cancelled", true, 1)]);
        assert_eq!((sums.waits.counts[3], sums.waits.sum), (2, Duration::from_millis(400)));
        assert_eq!(sums.endpoints["p/a"].outcomes[..3], [1, 0, 1]);
        let tokens = Tokens { input: 3, output: 4, ..Tokens::default() };
        assert_eq!(sums.endpoints["p/b"].models, [("m".into(), tokens)]);
    }

    #[test]
    fn names_that_others_choose_are_bounded() {
        let meters = Meters::default();
        let meter = meters.open(Origin::Client);
        for index in 0..MODELS + 20 {
            meter.count(&record("p/a", "success", &format!("model-{index}")));
        }
        meter.count(&record("p/a", "success", &"x".repeat(LONGEST + 1)));
        let models = &meters.read().remove(0).1.endpoints["p/a"].models;
        assert_eq!(models.len(), MODELS + 1);
        let other = models.iter().find(|(name, _)| &**name == OTHER).expect("the rest");
        assert_eq!(other.1.input, 3 * 21);
    }
}
