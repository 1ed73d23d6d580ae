//! What `/metrics` says: the status and what was counted, in the text format of OpenMetrics. Pure.
//!
//! Labels come from the file (profiles, endpoints, clients), from fixed words, or from models, which the meters bound.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::happened::Counts;
use super::view::{Endpoint, Status, StoreStanding};
use crate::queue::hold::View;
use crate::store::entries::{Figures, State, Statistics};
use crate::telemetry::meter::{BUCKETS, Kind, OUTCOMES, Origin, Sums};

/// The media type of [`render`].
pub(super) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is told at once.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) status: Status,
    pub(super) happened: Counts,
    /// Whose requests they were, and what they add up to; one per thread.
    pub(super) sums: Vec<(Origin, Sums)>,
    /// Requests that wait for an endpoint.
    pub(super) line: View,
    /// What the queue holds, where that can be read.
    pub(super) kept: Option<Statistics>,
    /// Requests that could have been queued and were not, beyond those the state counts.
    pub(super) refusals: u64,
}

/// `scrape` as text.
pub(super) fn render(scrape: Scrape) -> String {
    let (mut registry, mut text) = (Registry::with_prefix("qcc"), String::new());
    registry.register_collector(Box::new(scrape));
    // Writing to a String cannot fail.
    let _ = text::encode(&mut text, &registry);
    text
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.process(&mut encoder)?;
        self.reload(&mut encoder)?;
        self.requests(&mut encoder)?;
        self.waits(&mut encoder)?;
        self.attempts(&mut encoder)?;
        self.tokens(&mut encoder)?;
        self.endpoints(&mut encoder)?;
        self.queue(&mut encoder)?;
        self.rare(&mut encoder)
    }
}

type Encoder<'a, 'e> = &'a mut DescriptorEncoder<'e>;
type Labels<'l, const N: usize> = [(&'l str, &'l str); N];

/// Of a family with a single row.
const NONE: Labels<'static, 0> = [];

impl Scrape {
    fn process(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let status = &self.status;
        let version = [([("version", status.version.as_str())], 1)];
        gauges(encoder, "build", "The version that runs.", version)?;
        let started = seconds(status.started.0);
        gauges(encoder, "start_time_seconds", "When it started to serve, since 1970.", [(NONE, started)])?;
        gauges(encoder, "requests_in_flight", "Requests in flight.", [(NONE, number(status.in_flight))])?;
        gauges(encoder, "connections", "Client connections.", [(NONE, number(status.connections))])?;
        let held = i64::try_from(self.line.length).unwrap_or(i64::MAX);
        gauges(encoder, "requests_held", "Requests that wait for an endpoint.", [(NONE, held)])?;
        let longest = [(NONE, self.line.longest.as_secs_f64())];
        gauges(encoder, "requests_held_longest_seconds", "How long the first of them has been waiting.", longest)?;
        let good = i64::from(status.state.standing == StoreStanding::Good);
        gauges(encoder, "state_durable", "Whether state lasts (1) or not (0).", [(NONE, good)])?;
        counters(encoder, "state_lost", "Records of state that were lost.", [(NONE, status.state.lost)])
    }

    fn reload(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let reload = &self.status.reload;
        let generation = [(NONE, number(reload.generation))];
        gauges(encoder, "config_generation", "Files that were accepted.", generation)?;
        let good = i64::from(reload.rejected.is_none());
        gauges(encoder, "config_valid", "Whether the last save was accepted (1) or not (0).", [(NONE, good)])?;
        let accepted = [(NONE, seconds(reload.accepted.0))];
        gauges(encoder, "config_accepted_timestamp_seconds", "When the running file was accepted.", accepted)?;
        let reloads = [("accepted", self.happened.accepted), ("rejected", self.happened.rejected)];
        let reloads = reloads.map(|(result, count)| ([("result", result)], count));
        counters(encoder, "config_reloads", "Saved files since the start, by result.", reloads)
    }

    fn requests(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let mut rows: HashMap<[(&str, &str); 4], u64> = HashMap::new();
        for (origin, sums) in &self.sums {
            for (Kind { client, result, stream }, count) in &sums.requests {
                let labels = [
                    ("origin", if *origin == Origin::Queue { "queue" } else { "client" }),
                    ("client", client.as_deref().unwrap_or_default()),
                    ("stream", if *stream { "true" } else { "false" }),
                    ("result", result),
                ];
                *rows.entry(labels).or_default() += count;
            }
        }
        counters(encoder, "requests", "Requests that ended, by result.", sorted(rows))
    }

    fn waits(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let (mut counts, mut sum) = ([0; BUCKETS.len() + 1], 0.0);
        for (_, sums) in self.sums.iter().filter(|(origin, _)| *origin == Origin::Client) {
            counts.iter_mut().zip(sums.waits.counts).for_each(|(all, more)| *all += more);
            sum += sums.waits.sum.as_secs_f64();
        }
        let bounds = BUCKETS.into_iter().chain([f64::MAX]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let what = "Time to the first byte downstream of requests that an endpoint answered.";
        let mut metric = encoder.encode_descriptor("first_byte_seconds", what, None, MetricType::Histogram)?;
        metric.encode_histogram::<NoLabelSet>(sum, counts.iter().sum(), &buckets, None)
    }

    fn attempts(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let mut rows: HashMap<[(&str, &str); 2], u64> = HashMap::new();
        for (endpoint, spent) in self.sums.iter().flat_map(|(_, sums)| &sums.endpoints) {
            for (outcome, count) in OUTCOMES.iter().zip(spent.outcomes).filter(|(_, count)| *count > 0) {
                *rows.entry([("endpoint", endpoint), ("outcome", outcome)]).or_default() += count;
            }
        }
        counters(encoder, "attempts", "Tries at endpoints, by outcome.", sorted(rows))
    }

    fn tokens(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let mut rows: HashMap<[(&str, &str); 3], u64> = HashMap::new();
        for (endpoint, spent) in self.sums.iter().flat_map(|(_, sums)| &sums.endpoints) {
            for (model, tokens) in &spent.models {
                let kinds = [
                    ("input", tokens.input),
                    ("output", tokens.output),
                    ("cache_read", tokens.cache_read),
                    ("cache_write", tokens.cache_write),
                ];
                for (kind, count) in kinds {
                    *rows.entry([("endpoint", endpoint), ("model", model), ("kind", kind)]).or_default() += count;
                }
            }
        }
        counters(encoder, "tokens", "Tokens as the answers told them, by endpoint and model.", sorted(rows))
    }

    fn endpoints(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let active = self.status.profiles.iter();
        let active = active.map(|profile| ([("profile", profile.name.as_str())], i64::from(profile.active)));
        gauges(encoder, "profile_active", "Whether the profile is asked first (1) or not (0).", active)?;
        let all: Vec<(String, &Endpoint)> = self.named().collect();
        let in_flight =
            all.iter().map(|(name, endpoint)| ([("endpoint", name.as_str())], i64::from(endpoint.in_flight)));
        gauges(encoder, "endpoint_in_flight", "Requests in flight at the endpoint.", in_flight)?;
        let weight = all.iter().map(|(name, endpoint)| ([("endpoint", name.as_str())], endpoint.effective_weight));
        gauges(encoder, "endpoint_effective_weight", "Weight after health and ramp.", weight)?;
        let standing = all
            .iter()
            .map(|(name, endpoint)| ([("endpoint", name.as_str()), ("standing", endpoint.standing.as_str())], 1));
        gauges(encoder, "endpoint_standing", "Where the endpoint stands: 1 at the word.", standing)
    }

    fn named(&self) -> impl Iterator<Item = (String, &Endpoint)> {
        self.status.profiles.iter().flat_map(|profile| {
            profile.endpoints.iter().map(|endpoint| (format!("{}/{}", profile.name, endpoint.id), endpoint))
        })
    }

    fn queue(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let Some(kept) = &self.kept else { return Ok(()) };
        let by_state = State::ALL.into_iter().zip(kept.by_state);
        let by_state = by_state.map(|(state, count)| ([("state", state.as_str())], number(count)));
        gauges(encoder, "queue_entries", "Entries of the queue, by state.", by_state)?;
        gauges(encoder, "queue_bytes", "Bytes of the queue's entries.", [(NONE, number(kept.bytes))])?;
        let came = kept.oldest.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis);
        let age = came.and_then(|came| (UNIX_EPOCH + came).elapsed().ok()).unwrap_or_default();
        let what = "Age of the oldest entry that is neither answered nor given up; 0 without one.";
        gauges(encoder, "queue_oldest_seconds", what, [(NONE, age.as_secs_f64())])?;
        let Figures { enqueued, retried, succeeded, failed, refused } = kept.figures;
        let what = "Requests that could not be queued, for want of room or of a disk, since the state was made.";
        counters(encoder, "queue_refused", what, [(NONE, refused + self.refusals)])?;
        let events = [("enqueued", enqueued), ("retried", retried), ("succeeded", succeeded), ("failed", failed)];
        let events = events.map(|(event, count)| ([("event", event)], count));
        counters(encoder, "queue_events", "What has happened to entries since the state was made.", events)
    }

    fn rare(&self, encoder: Encoder<'_, '_>) -> fmt::Result {
        let ejections = self.happened.ejections.iter();
        let ejections = ejections.map(|(endpoint, count)| ([("endpoint", endpoint.as_str())], *count));
        counters(encoder, "ejections", "How often the endpoint was taken out of rotation, or rested.", ejections)?;
        let switches = self.happened.switches.iter().map(|(cause, count)| ([("cause", *cause)], *count));
        counters(encoder, "switches", "How often another profile became active, by cause.", switches)
    }
}

fn counters<'l, const N: usize>(
    encoder: Encoder<'_, '_>,
    name: &str,
    what: &str,
    rows: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, what, None, MetricType::Counter)?;
    let row = |metric: &mut MetricEncoder<'_>, count| metric.encode_counter::<NoLabelSet, u64, u64>(&count, None);
    rows.into_iter().try_for_each(|(labels, count)| one(&mut metric, &labels, |metric| row(metric, count)))
}

fn gauges<'l, const N: usize, V: EncodeGaugeValue>(
    encoder: Encoder<'_, '_>,
    name: &str,
    what: &str,
    rows: impl IntoIterator<Item = (Labels<'l, N>, V)>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, what, None, MetricType::Gauge)?;
    rows.into_iter().try_for_each(|(labels, value)| one(&mut metric, &labels, |metric| metric.encode_gauge(&value)))
}

/// One row; without labels it stands alone.
fn one<const N: usize>(
    metric: &mut MetricEncoder<'_>,
    labels: &Labels<'_, N>,
    row: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
) -> fmt::Result {
    if N == 0 { row(metric) } else { row(&mut metric.encode_family(labels)?) }
}

fn sorted<const N: usize>(rows: HashMap<Labels<'_, N>, u64>) -> Vec<(Labels<'_, N>, u64)> {
    let mut rows: Vec<_> = rows.into_iter().collect();
    rows.sort_unstable();
    rows
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
