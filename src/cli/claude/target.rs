//! Where Claude Code is pointed, and how it gets the credential for that place.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::shell;
use crate::cli::edit::{Failure, Sheet};
use crate::config::model::{Auth, EndpointFields, ProfileSpec};
pub(super) use crate::config::secret::PLACEHOLDER;
use crate::config::server::Server;
use crate::config::{Config, SecretSpec};

/// An address and a credential.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    /// Without `/v1`.
    pub(super) base_url: String,
    /// The header that carries the credential.
    pub(super) auth: Auth,
    /// What it carries.
    pub(super) credential: Credential,
    /// Whether the file replaces names of models there, which only the proxy does.
    pub(super) renames: bool,
    /// The qcc.yaml that says so, absolute.
    pub(super) file: PathBuf,
}

/// What Claude Code authenticates with.
#[derive(Debug, PartialEq)]
pub(super) enum Credential {
    /// Any word will do.
    Placeholder,
    /// A secret of the file.
    Secret {
        /// Where it is found.
        spec: SecretSpec,
        /// Whose it is.
        of: Holder,
    },
    /// Whatever Claude Code has without qcc.
    Own,
}

/// Who has a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// An endpoint, as `PROFILE/ID`.
    Endpoint(String),
    /// A client of the proxy, by its name.
    Client(String),
}

impl Target {
    /// The first endpoint of a profile; one that is switched off is passed over.
    pub(super) fn profile(sheet: &Sheet, name: &str) -> Result<Self, Failure> {
        sheet.has_profile(name)?;
        let none = || Failure::Refused(format!("the profile `{name}` has no enabled endpoint to talk to"));
        let spec = sheet.config()?.profiles.get(name).ok_or_else(none)?;
        let (id, fields) = endpoints(name, spec).find(|(_, fields)| fields.enabled).ok_or_else(none)?;
        let of = Holder::Endpoint(format!("{name}/{id}"));
        let credential = match (&fields.api_key, fields.auth) {
            (Some(spec), Auth::XApiKey | Auth::Bearer) => Credential::Secret { spec: spec.clone(), of },
            _ => Credential::Own,
        };
        let (base_url, renames) = (fields.base_url.clone(), !fields.models.is_empty());
        Ok(Self { base_url, auth: fields.auth, credential, renames, file: file(sheet) })
    }

    /// The proxy, as `client` if the file knows its clients. `at` is its URL where that is known; else it is made of the
    /// first address of `server.listen`.
    pub(super) fn proxy(sheet: &Sheet, at: Option<String>, client: Option<&str>) -> Result<Self, Failure> {
        let server = &sheet.config()?.server;
        let address = server.listen.addresses().first().map(String::as_str).unwrap_or_default();
        let free = || "`server.listen` leaves the port to the system; give it one, so that clients find it".to_owned();
        let base_url = at.or_else(|| url(server, address)).ok_or_else(|| Failure::Refused(free()))?;
        let credential = of_client(server, client)?;
        Ok(Self { base_url, auth: Auth::XApiKey, credential, renames: false, file: file(sheet) })
    }

    /// The shell command that prints the credential, if it is a secret.
    pub(super) fn helper(&self) -> Option<Vec<String>> {
        let Credential::Secret { of, .. } = &self.credential else { return None };
        let asked = match of {
            Holder::Endpoint(name) => vec![name.clone()],
            Holder::Client(name) => vec!["--client".to_owned(), name.clone()],
        };
        let file = self.file.display().to_string();
        Some([shell::program(), "-c".to_owned(), file, "key".to_owned()].into_iter().chain(asked).collect())
    }

    /// The variable of Claude Code that carries the credential, and the one that must not.
    pub(super) fn variables(&self) -> (&'static str, &'static str) {
        let (key, token) = ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN");
        if self.auth == Auth::Bearer { (token, key) } else { (key, token) }
    }
}

/// The endpoints of a profile with their ids, in the order of the file.
fn endpoints<'c>(name: &'c str, spec: &'c ProfileSpec) -> impl Iterator<Item = (&'c str, &'c EndpointFields)> {
    let short = spec.shorthand.iter().map(move |fields| (name, &**fields));
    short.chain(spec.endpoints.iter().map(|endpoint| (endpoint.id.as_str(), &endpoint.fields)))
}

/// The key of the endpoint `id` of `profile`.
pub(super) fn key<'c>(config: &'c Config, profile: &str, id: &str) -> Option<&'c SecretSpec> {
    let (name, spec) = config.profiles.get_key_value(profile)?;
    endpoints(name, spec).find(|(known, _)| *known == id)?.1.api_key.as_ref()
}

/// What a client shows to the proxy.
fn of_client(server: &Server, name: Option<&str>) -> Result<Credential, Failure> {
    let clients = server.clients.as_deref().unwrap_or_default();
    let client = match (name, clients) {
        (None, []) => return Ok(Credential::Placeholder),
        (None, [only]) => Some(only),
        (name, clients) => clients.iter().find(|client| Some(client.name.as_str()) == name),
    };
    let names: Vec<&str> = clients.iter().map(|client| client.name.as_str()).collect();
    let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
    let unknown = || Failure::CouldNot(format!("say which of `server.clients` calls, by `--client NAME`: {known}"));
    let client = client.ok_or_else(unknown)?;
    Ok(Credential::Secret { spec: client.token.clone(), of: Holder::Client(client.name.clone()) })
}

fn file(sheet: &Sheet) -> PathBuf {
    std::path::absolute(sheet.path()).unwrap_or_else(|_| sheet.path().to_owned())
}

/// Where secrets of `file` are looked up.
pub(super) fn directory(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

/// The URL of a listening address as a client on this machine writes it; `None` without a fixed port.
pub(super) fn url(server: &Server, address: &str) -> Option<String> {
    let (host, port) = address.rsplit_once(':').filter(|(_, port)| port.parse() != Ok(0_u16))?;
    let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let host = match ip {
        Some(ip) if ip.is_unspecified() => {
            if ip.is_ipv4() {
                "127.0.0.1"
            } else {
                "[::1]"
            }
        }
        _ => host,
    };
    let scheme = if server.tls.is_some() { "https" } else { "http" };
    Some(format!("{scheme}://{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listening_address_is_written_as_a_client_reaches_it() {
        for (address, expected) in [
            ("127.0.0.1:7860", Some("http://127.0.0.1:7860")),
            ("0.0.0.0:80", Some("http://127.0.0.1:80")),
            ("[::]:80", Some("http://[::1]:80")),
            ("localhost:7860", Some("http://localhost:7860")),
            ("127.0.0.1:0", None),
        ] {
            assert_eq!(url(&Server::default(), address).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn a_client_is_named_where_there_is_a_choice() {
        let server = |names: &[&str]| {
            let clients = names.iter().map(|name| serde_json::json!({ "name": name, "token": { "env": "T" } }));
            serde_json::from_value(serde_json::json!({ "clients": clients.collect::<Vec<_>>() })).expect("a server")
        };
        assert_eq!(of_client(&Server::default(), None).ok(), Some(Credential::Placeholder));
        let holder = |server: &Server, name| match of_client(server, name) {
            Ok(Credential::Secret { of: Holder::Client(name), .. }) => Some(name),
            _ => None,
        };
        assert_eq!(holder(&server(&["alice"]), None).as_deref(), Some("alice"));
        assert_eq!(holder(&server(&["alice", "bob"]), None), None);
        assert_eq!(holder(&server(&["alice", "bob"]), Some("bob")).as_deref(), Some("bob"));
        assert_eq!(holder(&server(&["alice"]), Some("bob")), None);
    }
}
