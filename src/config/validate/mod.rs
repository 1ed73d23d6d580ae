//! Rules over a file whose shape is right: what its values mean together.
//!
//! Each rule is a small function that looks at one thing; [`RULES`] is the list of them. They see what is left of a file after
//! `salvage`, so a rule about something missing asks [`Scope::intact`] whether it may have been written wrongly.

mod address;
mod endpoint;
mod numbers;
mod profile;
mod references;
mod scope;
mod server;
mod url;

use super::diagnostic::Finding;
use super::place::Place;

pub(super) use references::resolve;
pub(super) use scope::Scope;

type Rule = fn(&Scope<'_>, &mut Vec<Finding>);

const RULES: &[Rule] = &[
    server::listen_addresses_parse,
    server::listen_addresses_differ,
    server::network_listeners_have_clients,
    server::admin_stays_on_this_machine,
    server::clients_are_not_empty,
    server::clients_differ,
    server::hosts_are_names,
    profile::endpoint_ids_differ,
    profile::shorthand_is_whole,
    profile::profiles_have_endpoints,
    profile::something_serves,
    profile::weights_are_not_all_zero,
    profile::weights_are_used,
    profile::profiles_can_become_active,
    profile::default_exists,
    endpoint::base_urls_are_sane,
    endpoint::base_urls_are_not_the_proxy_itself,
    endpoint::plaintext_is_allowed,
    endpoint::keys_fit_auth,
    endpoint::headers_are_harmless,
    endpoint::model_patterns_end_in_stars,
    endpoint::proxies_parse,
    references::literals_are_warned_about,
    references::literals_can_be_sent,
    references::secret_files_are_private,
    numbers::waits_are_not_zero,
    numbers::checks_are_not_too_often,
    numbers::sizes_are_not_zero,
    numbers::waits_end_before_the_request,
    numbers::bodies_fit_the_buffer,
    numbers::delays_are_in_order,
    numbers::notify_has_one_target,
    numbers::notify_headers_can_be_sent,
];

/// Everything the rules find.
pub(super) fn check(scope: &Scope<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for rule in RULES {
        rule(scope, &mut findings);
    }
    findings
}

/// The schema accepted what the types do not: a mistake of ours, never of the file. The cause is left out, it may quote values.
pub(super) fn unreadable_shape() -> Finding {
    Finding::error("unreadable-shape", &Place::root(), "this configuration cannot be read, although it fits the schema")
        .help("please report this as a bug")
}
