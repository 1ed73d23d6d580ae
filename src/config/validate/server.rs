//! Rules about listeners and clients.

use std::collections::HashSet;

use super::address::{Host, parse_listen};
use super::scope::{Client, Scope};
use super::{Finding, Place};
use crate::config::secret::SecretSpec;

/// A listening address that parses, and where it stands.
pub(super) struct Listener {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) admin: bool,
    pub(super) place: Place,
}

/// Where each listening address stands, as written.
fn written<'a>(scope: &'a Scope<'_>) -> Vec<(&'a str, bool, Place)> {
    let list = Place::of(&["server", "listen"]);
    let addresses = scope.config.server.listen.addresses();
    let one = scope.document.text(&list).is_some() || !scope.document.has(&list);
    let at = |index| if one { list.clone() } else { scope.cuts.original(list.index(index)) };
    let server = addresses.iter().enumerate().map(|(index, address)| (address.as_str(), false, at(index)));
    let admin = scope.config.admin.iter().map(|admin| (admin.listen.as_str(), true, Place::of(&["admin", "listen"])));
    server.chain(admin).collect()
}

/// Every listener of the file whose address parses.
pub(super) fn listeners(scope: &Scope<'_>) -> Vec<Listener> {
    let parsed = written(scope).into_iter().filter_map(|(text, admin, place)| {
        parse_listen(text).map(|(host, port)| Listener { host, port, admin, place })
    });
    parsed.collect()
}

pub(super) fn listen_addresses_parse(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for (text, _, place) in written(scope) {
        if parse_listen(text).is_none() {
            let message = format!("`{text}` is not an address to listen on");
            let help = "write `IP:PORT` or `localhost:PORT`, the port at most 65535";
            findings.push(Finding::error("listen-invalid", &place, message).help(help));
        }
    }
}

pub(super) fn listen_addresses_differ(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let listeners = listeners(scope);
    for (index, listener) in listeners.iter().enumerate() {
        if listeners[..index].iter().any(|earlier| collide(earlier, listener)) {
            let message = format!("`{}:{}` is already listened on", listener.host, listener.port);
            let finding = Finding::error("duplicate-listen", &listener.place, message);
            findings.push(if listener.admin {
                finding.help("give the admin listener a port of its own")
            } else {
                finding
            });
        }
    }
}

fn collide(a: &Listener, b: &Listener) -> bool {
    let any = a.host.is_unspecified() || b.host.is_unspecified();
    a.port == b.port && a.port != 0 && (a.host == b.host || any)
}

pub(super) fn network_listeners_have_clients(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    if scope.config.server.clients.is_some() || !scope.intact(&Place::of(&["server"])) {
        return;
    }
    for listener in listeners(scope).iter().filter(|listener| !listener.admin && !listener.host.is_loopback()) {
        let message =
            format!("`{}:{}` is reachable from the network, and anyone could call", listener.host, listener.port);
        let help = "say in `server.clients` who may call, or listen on 127.0.0.1";
        findings.push(Finding::error("open-listener", &listener.place, message).help(help));
    }
}

pub(super) fn admin_stays_on_this_machine(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    for listener in listeners(scope).iter().filter(|listener| listener.admin && !listener.host.is_loopback()) {
        let message =
            format!("`{}:{}` would send the admin token in clear over the network", listener.host, listener.port);
        let help = "listen on 127.0.0.1, and reach it from elsewhere through a tunnel";
        findings.push(Finding::error("open-admin", &listener.place, message).help(help));
    }
}

pub(super) fn clients_are_not_empty(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let place = Place::of(&["server", "clients"]);
    if scope.config.server.clients.as_deref() == Some(&[]) && scope.intact(&place) {
        let message = "`clients` is empty, so nobody could call";
        let help = "name the clients, or remove the key: then everyone on this machine may call";
        findings.push(Finding::error("no-clients", &place, message).help(help));
    }
}

pub(super) fn clients_differ(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let mut names: HashSet<&str> = HashSet::new();
    let mut tokens: Vec<(&SecretSpec, &str)> = Vec::new();
    for Client { spec: client, place } in &scope.clients {
        if !names.insert(&client.name) {
            let message = format!("a client `{}` is already named", client.name);
            findings.push(Finding::error("duplicate-client", &place.key("name"), message));
        }
        match tokens.iter().find(|(token, _)| **token == client.token) {
            Some((_, name)) => {
                let message = format!("`{}` has the token of `{name}`; they could not be told apart", client.name);
                findings.push(Finding::error("duplicate-token", &place.key("token"), message));
            }
            None => tokens.push((&client.token, &client.name)),
        }
    }
}

pub(super) fn hosts_are_names(scope: &Scope<'_>, findings: &mut Vec<Finding>) {
    let list = Place::of(&["server", "hosts"]);
    for (index, host) in scope.config.server.hosts.iter().enumerate() {
        let name = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        let port = !host.starts_with('[') && host.contains(':');
        if name.is_empty() || port || !name.chars().all(plain) {
            let place = scope.cuts.original(list.index(index));
            let message = format!("`{}` is not a host name", host.escape_debug());
            findings.push(
                Finding::error("host-invalid", &place, message).help("write the name alone, without scheme and port"),
            );
        }
    }
}
