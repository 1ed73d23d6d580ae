//! Rules about profiles and the chain.

use std::collections::HashSet;

use super::scope::{Endpoint, Profile, Scope};
use super::{Finding, Place};
use crate::config::model::Strategy;
use crate::config::violation::{did_you_mean, nearest};

/// Keys that belong to a profile; any other is one of the shorthand's.
const OWN_KEYS: [&str; 5] = ["description", "tier", "strategy", "affinity", "endpoints"];

pub(super) fn endpoint_ids_differ(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for profile in &scope.profiles {
        let mut ids = HashSet::new();
        for Endpoint { id, place, .. } in &profile.endpoints {
            if !ids.insert(id) {
                let message = format!("the profile `{}` has two endpoints `{id}`", profile.name);
                findings.push(Finding::error("duplicate-id", &place.key("id"), message));
            }
        }
    }
}

pub(super) fn shorthand_is_whole(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for profile in &scope.profiles {
        let keys = scope.document.keys(&profile.place);
        let first = keys.into_iter().find(|key| !OWN_KEYS.contains(key));
        match (first, profile.spec.shorthand.is_some(), profile.spec.endpoints.is_empty()) {
            (Some(_), true, false) => {
                let message =
                    format!("the profile `{}` has both `endpoints` and a `base_url` of its own", profile.name);
                let help = "move the endpoint written at the profile into the list";
                findings
                    .push(Finding::error("two-kinds-of-endpoints", &profile.place.key("base_url"), message).help(help));
            }
            (Some(key), false, listed) if scope.intact(&profile.place) => {
                let message =
                    format!("`{key}` belongs to an endpoint, and the profile `{}` has no `base_url`", profile.name);
                let help =
                    if listed { "add `base_url`, or remove the key" } else { "move it into each of the `endpoints`" };
                findings.push(Finding::error("base-url-missing", &profile.place.key(key), message).at_key().help(help));
            }
            _ => {}
        }
    }
}

pub(super) fn profiles_have_endpoints(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for profile in scope.profiles.iter().filter(|profile| scope.intact(&profile.place)) {
        let endpoints = &profile.endpoints;
        let bare = scope.document.keys(&profile.place).iter().all(|key| OWN_KEYS.contains(key));
        if endpoints.is_empty() && bare {
            let message = format!("the profile `{}` has no endpoints", profile.name);
            let help = "give it a `base_url` and an `api_key`, or a list of `endpoints` that have them";
            findings.push(Finding::warning("empty-profile", &profile.place, message).at_key().help(help));
        } else if profile.spec.tier.is_some() && !endpoints.is_empty() && !serves(profile) {
            let message = format!("every endpoint of the profile `{}` is disabled; it takes no traffic", profile.name);
            findings.push(Finding::warning("disabled-profile", &profile.place, message).at_key());
        }
    }
}

fn serves(profile: &Profile<'_>) -> bool {
    profile.spec.tier.is_some() && profile.endpoints.iter().any(|endpoint| endpoint.fields.enabled)
}

pub(super) fn something_serves(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let place = Place::of(&["profiles"]);
    if scope.intact(&place) && !scope.profiles.iter().any(|profile| serves(profile)) {
        let message = "nothing to serve: no profile with a tier has an enabled endpoint";
        let help = if scope.config.profiles.is_empty() {
            "add a profile under `profiles`; `qcc init OTHER.yaml` writes a file that has one"
        } else {
            "give a profile a `tier`: primary, secondary or fallback"
        };
        findings.push(Finding::warning("nothing-to-serve", &place, message).at_key().help(help));
    }
}

pub(super) fn weights_are_not_all_zero(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for profile in scope.profiles.iter().filter(|profile| scope.intact(&profile.place)) {
        let endpoints = &profile.endpoints;
        if !endpoints.is_empty() && endpoints.iter().all(|endpoint| endpoint.fields.weight == 0) {
            let message = format!("every endpoint of the profile `{}` has weight 0", profile.name);
            let help = "weight 0 is a stand-by beside others; give one of them a weight above 0";
            findings.push(Finding::error("zero-weights", &endpoints[0].place.key("weight"), message).help(help));
        }
    }
}

pub(super) fn weights_are_used(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for profile in scope.profiles.iter().filter(|profile| ignores_weights(profile.spec.strategy)) {
        let endpoints = &profile.endpoints;
        let differs = endpoints.iter().find(|endpoint| endpoint.fields.weight != endpoints[0].fields.weight);
        let weighted = endpoints.iter().map(|e| e.place.key("weight")).find(|place| scope.document.has(place));
        if let (Some(_), Some(place)) = (differs, weighted) {
            let message = format!("the weights of the profile `{}` have no effect with this `strategy`", profile.name);
            findings.push(
                Finding::warning("weights-ignored", &place, message).help("`strategy: weighted` shares by weight"),
            );
        }
    }
}

const fn ignores_weights(strategy: Strategy) -> bool {
    matches!(strategy, Strategy::RoundRobin | Strategy::Priority)
}

/// Without automatic failover only the first profile of the chain gets traffic, until someone switches by hand.
pub(super) fn profiles_can_become_active(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    if scope.config.failover.auto_failover {
        return;
    }
    let mut chain: Vec<&Profile<'_>> = scope.profiles.iter().filter(|profile| serves(profile)).collect();
    chain.sort_by_key(|profile| profile.spec.tier);
    for profile in chain.iter().skip(1) {
        let message = format!("with `auto_failover: false` the profile `{}` takes no traffic by itself", profile.name);
        let help = "it serves when it is first in the chain: by `tier`, then by its place in the file";
        findings.push(Finding::warning("never-active", &profile.place, message).at_key().help(help));
    }
}

pub(super) fn default_exists(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let Some(default) = &scope.config.default else { return };
    if scope.config.profiles.contains_key(default) || scope.cuts.thin(&Place::of(&["profiles"])) {
        return;
    }
    let names: Vec<&str> = scope.config.profiles.keys().map(String::as_str).collect();
    let finding =
        Finding::error("unknown-profile", &Place::of(&["default"]), format!("there is no profile `{default}`"));
    findings.push(match nearest(default, &names) {
        Some(name) => finding.help(did_you_mean(name)),
        None => finding,
    });
}
