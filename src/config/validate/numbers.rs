//! Rules about numbers that must fit together.

use std::time::Duration;

use http::HeaderName;

use super::scope::{Endpoint, Scope};
use super::{Finding, Place};
use crate::config::model::{AffinityBy, ProbeKind, QueueStrategy};
use crate::config::secret::SecretSpec;
use crate::config::units::{Dur, Size};

pub(super) fn waits_are_not_zero(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for (wait, place) in waits(scope) {
        if wait.get().is_zero() {
            let message = format!("`{}` must be longer than zero", place.last_key().unwrap_or_default());
            findings.push(Finding::error("zero-wait", &place, message));
        }
    }
}

/// Every duration that must not be zero.
fn waits(scope: &Scope<'_>) -> Vec<(Dur, Place)> {
    let config = scope.config;
    let (timeouts, server, health, queue) = (&config.timeouts, &config.server.timeouts, &config.health, &config.queue);
    let mut waits: Vec<(Dur, Place)> = [
        (timeouts.connect, ["timeouts", "connect"].as_slice()),
        (timeouts.first_byte, &["timeouts", "first_byte"]),
        (timeouts.first_byte_unary, &["timeouts", "first_byte_unary"]),
        (timeouts.idle, &["timeouts", "idle"]),
        (timeouts.request, &["timeouts", "request"]),
        (server.header, &["server", "timeouts", "header"]),
        (server.body_idle, &["server", "timeouts", "body_idle"]),
        (server.keep_alive, &["server", "timeouts", "keep_alive"]),
        (health.interval, &["health", "interval"]),
        (health.recovery_interval, &["health", "recovery_interval"]),
        (health.timeout, &["health", "timeout"]),
        (queue.max_delay, &["queue", "max_delay"]),
    ]
    .map(|(wait, keys)| (wait, Place::of(keys)))
    .into();
    if queue.strategy != QueueStrategy::Immediate {
        waits.push((queue.base, Place::of(&["queue", "base"])));
    }
    for profile in scope.profiles.iter().filter(|profile| profile.spec.affinity.by == AffinityBy::Session) {
        waits.push((profile.spec.affinity.ttl, profile.place.key("affinity").key("ttl")));
    }
    scope.endpoints().for_each(|endpoint| waits.extend(own_waits(endpoint)));
    for secret in &scope.secrets {
        if let SecretSpec::Command(command) = secret.spec {
            waits.push((command.refresh, secret.place.key("refresh")));
            waits.push((command.timeout, secret.place.key("timeout")));
        }
    }
    waits
}

/// Checks that follow each other so fast are a mistake of the unit.
const LEAST_INTERVAL: Duration = Duration::from_millis(50);
/// Conversations that follow each other faster are worth a word: each is paid for.
const DEAR_INTERVAL: Duration = Duration::from_secs(10);

/// Checks that would flood an endpoint, and conversations that cost more than they tell.
pub(super) fn checks_are_not_too_often(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let health = &scope.config.health;
    let on = |kind: ProbeKind| health.enabled && kind != ProbeKind::Off;
    let whole = |key| Place::of(&["health", key]);
    check_interval(
        health.interval,
        &whole("interval"),
        on(health.probe) && health.probe == ProbeKind::Messages,
        findings,
    );
    let converses = matches!(health.probe, ProbeKind::Auto | ProbeKind::Messages);
    check_interval(health.recovery_interval, &whole("recovery_interval"), on(health.probe) && converses, findings);
    for Endpoint { fields, place, .. } in scope.endpoints() {
        if let Some(interval) = fields.health.interval {
            let converses = health.kind_for(&fields.health) == ProbeKind::Messages;
            check_interval(interval, &place.key("health").key("interval"), converses, findings);
        }
    }
}

fn check_interval(interval: Dur, place: &Place, is_paid: bool, findings: &mut Vec<Finding>) {
    let key = place.last_key().unwrap_or_default();
    if interval.get().is_zero() {
        // Said already.
    } else if interval.get() < LEAST_INTERVAL {
        let message = format!("`{key}` ({interval}) must be at least 50ms");
        findings.push(Finding::error("interval-too-short", place, message).help("seconds are usual, such as `60s`"));
    } else if is_paid && interval.get() < DEAR_INTERVAL {
        let message = format!("a conversation every {interval} is paid for every time");
        findings.push(Finding::warning("dear-checks", place, message).help("10s or more is usual"));
    }
}

fn own_waits(endpoint: &Endpoint<'_>) -> Vec<(Dur, Place)> {
    let (timeouts, health) = (&endpoint.fields.timeouts, &endpoint.fields.health);
    [
        (timeouts.connect, "timeouts", "connect"),
        (timeouts.first_byte, "timeouts", "first_byte"),
        (timeouts.first_byte_unary, "timeouts", "first_byte_unary"),
        (timeouts.idle, "timeouts", "idle"),
        (health.interval, "health", "interval"),
        (health.timeout, "health", "timeout"),
    ]
    .into_iter()
    .filter_map(|(wait, section, key)| Some((wait?, endpoint.place.key(section).key(key))))
    .collect()
}

pub(super) fn sizes_are_not_zero(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let limits = &scope.config.server.limits;
    for (size, keys) in [
        (limits.request_body, ["server", "limits", "request_body"].as_slice()),
        (limits.buffered, &["server", "limits", "buffered"]),
        (scope.config.queue.max_bytes, &["queue", "max_bytes"]),
        (scope.config.log.max_bytes, &["log", "max_bytes"]),
    ] {
        if size == Size(0) {
            let message = format!("`{}` must be larger than zero", keys[keys.len() - 1]);
            findings.push(Finding::error("zero-size", &Place::of(keys), message));
        }
    }
}

/// A wait that is never reached because the whole request ends first.
pub(super) fn waits_end_before_the_request(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let request = scope.config.timeouts.request;
    let (hold, timeouts) = (scope.config.queue.hold, &scope.config.timeouts);
    if hold > request {
        let place = nearer(scope, &["queue", "hold"]);
        let message = format!("`queue.hold` ({hold}) is longer than `timeouts.request` ({request})");
        findings
            .push(Finding::error("hold-too-long", &place, message).help("hold at most as long as a request may take"));
    }
    for (wait, key) in [
        (timeouts.connect, "connect"),
        (timeouts.first_byte, "first_byte"),
        (timeouts.first_byte_unary, "first_byte_unary"),
    ] {
        if wait >= request {
            findings.push(too_long(wait, key, request, &nearer(scope, &["timeouts", key])));
        }
    }
    for Endpoint { fields, place, .. } in scope.endpoints() {
        let own = &fields.timeouts;
        for (wait, key) in
            [(own.connect, "connect"), (own.first_byte, "first_byte"), (own.first_byte_unary, "first_byte_unary")]
        {
            if let Some(wait) = wait.filter(|wait| *wait >= request) {
                findings.push(too_long(wait, key, request, &place.key("timeouts").key(key)));
            }
        }
    }
}

fn too_long(wait: Dur, key: &str, request: Dur, place: &Place) -> Finding {
    let message =
        format!("`{key}` ({wait}) never ends before `timeouts.request` ({request}), so no other endpoint is tried");
    Finding::warning("wait-too-long", place, message).help("make it shorter than `timeouts.request`")
}

/// The value if it is written, else the `timeouts.request` that its default does not fit.
fn nearer(scope: &Scope<'_>, keys: &[&str]) -> Place {
    let place = Place::of(keys);
    if scope.document.has(&place) { place } else { Place::of(&["timeouts", "request"]) }
}

pub(super) fn bodies_fit_the_buffer(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let limits = &scope.config.server.limits;
    if limits.request_body > limits.buffered {
        let body = Place::of(&["server", "limits", "request_body"]);
        let place = if scope.document.has(&body) { body } else { Place::of(&["server", "limits", "buffered"]) };
        let message = format!(
            "one `request_body` ({}) is larger than all `buffered` together ({})",
            limits.request_body, limits.buffered
        );
        findings.push(Finding::error("body-over-buffer", &place, message));
    }
}

pub(super) fn delays_are_in_order(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let queue = &scope.config.queue;
    if queue.base > queue.max_delay && queue.strategy != QueueStrategy::Immediate {
        let base = Place::of(&["queue", "base"]);
        let place = if scope.document.has(&base) { base } else { Place::of(&["queue", "max_delay"]) };
        let message = format!("`base` ({}) is longer than `max_delay` ({})", queue.base, queue.max_delay);
        findings.push(Finding::error("base-over-max", &place, message));
    }
}

/// Framing is the proxy's own.
const FRAMING: [&str; 6] = ["host", "content-length", "content-type", "transfer-encoding", "connection", "user-agent"];

pub(super) fn notify_headers_can_be_sent(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let list = Place::of(&["notify"]);
    for (index, notify) in scope.config.notify.iter().enumerate() {
        let place = scope.cuts.original(list.index(index)).key("headers");
        for name in notify.headers.keys() {
            let message = match HeaderName::from_bytes(name.as_bytes()) {
                Err(_) => format!("`{}` cannot be the name of a header", name.escape_debug()),
                Ok(name) if FRAMING.contains(&name.as_str()) => format!("`{name}` is set by qcc itself"),
                Ok(_) if notify.webhook.is_none() => "a program is sent no `headers`".to_owned(),
                Ok(_) => continue,
            };
            findings.push(Finding::error("notify-header", &place.key(name), message).at_key());
        }
    }
}

pub(super) fn notify_has_one_target(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let list = Place::of(&["notify"]);
    for (index, notify) in scope.config.notify.iter().enumerate() {
        let place = scope.cuts.original(list.index(index));
        let message = match (&notify.webhook, &notify.command) {
            (None, None) if scope.intact(&place) => "this item of `notify` says nobody to tell",
            (Some(_), Some(_)) => "this item of `notify` has both a `webhook` and a `command`",
            _ => continue,
        };
        findings.push(Finding::error("notify-target", &place, message).help("give either `webhook` or `command`"));
    }
}
