//! An endpoint in a few words.

use std::time::SystemTime;

use crate::admin::view::health::{EndpointHealth, Figures, Word};
use crate::admin::view::{Endpoint, RestingModel, Standing};
use crate::cli::words::{ago, clean, until, when};

/// What requests told; without any, what checks told.
pub(in crate::cli) fn figures(health: &EndpointHealth) -> Option<&Figures> {
    health.requests.recent.as_ref().or(health.checks.recent.as_ref())
}

/// What the weight is and what is left of it.
pub(in crate::cli) fn weight(weight: u32, effective: f64) -> String {
    let whole = weight == 0 || (f64::from(weight) - effective).abs() < 0.5;
    if whole { weight.to_string() } else { format!("{effective:.0} of {weight}") }
}

/// Percent.
pub(in crate::cli) fn success(figures: Option<&Figures>) -> String {
    figures.map_or_else(|| "-".to_owned(), |figures| format!("{:.0}%", figures.success_rate))
}

/// Times to the first byte: half, and 95 of 100, took no longer.
pub(super) fn times(figures: Option<&Figures>) -> String {
    let both = figures.and_then(|figures| Some((figures.p50_ms?, figures.p95_ms?)));
    both.map_or_else(|| "-".to_owned(), |(p50, p95)| format!("{p50}/{p95}"))
}

/// Why it is not simply healthy, and what went wrong last.
pub(in crate::cli) fn notes(endpoint: &Endpoint, health: Option<&EndpointHealth>, now: SystemTime) -> Vec<String> {
    let why = health.and_then(why).map(|why| {
        let until = endpoint.until.map_or_else(String::new, |at| format!(", until {} ({})", when(at), until(at, now)));
        format!("{}{until}", clean(&why))
    });
    let error = endpoint.last_error.as_ref();
    let error = error.map(|error| format!("last error {}: {}", ago(error.at, now), clean(&error.message)));
    why.into_iter().chain(rests(&endpoint.resting_models, now)).chain(error).collect()
}

/// The models for which its key rests, and until when.
pub(in crate::cli) fn rests(models: &[RestingModel], now: SystemTime) -> impl Iterator<Item = String> {
    let rests = models.iter();
    rests.map(move |rest| {
        format!("{} rests until {} ({})", clean(&rest.model), when(rest.until), until(rest.until, now))
    })
}

/// Why an endpoint is not simply healthy.
pub(in crate::cli) fn why(health: &EndpointHealth) -> Option<String> {
    let because = || health.reason.clone();
    match health.standing {
        Standing::Ejected => Some(because().map_or_else(|| "ejected".to_owned(), |why| format!("ejected: {why}"))),
        Standing::Resting => Some(because().map_or_else(|| "resting".to_owned(), |why| format!("resting: {why}"))),
        Standing::OnProbation => Some("on probation: one request at a time decides whether it comes back".to_owned()),
        Standing::Admitting if health.health == Word::Healthy => None,
        Standing::Admitting => match figures(health) {
            Some(figures) if figures.success_rate < 95.0 => Some(format!("{:.0}% go well", figures.success_rate)),
            // That is told model by model.
            _ if !health.resting_models.is_empty() => None,
            _ => Some("just back: its weight ramps up".to_owned()),
        },
    }
}

/// Health in one word.
pub(in crate::cli) const fn word(of: Word) -> &'static str {
    match of {
        Word::Healthy => "healthy",
        Word::Warning => "warning",
        Word::Unhealthy => "unhealthy",
    }
}
