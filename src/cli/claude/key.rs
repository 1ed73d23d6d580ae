//! `qcc key`: prints one key, to the program that asks for it.
//!
//! It is found where the proxy finds it, at the moment it is asked for. Never on a terminal, where it would be read by
//! whoever stands behind.

use std::io::{self, IsTerminal as _};
use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use zeroize::Zeroizing;

use super::target::{self, directory};
use crate::cli::complete;
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::stdout;
use crate::config::{Secret, SecretSpec};
use crate::snapshot::secrets;

/// What can be typed after `qcc key`.
#[derive(Debug, Args)]
pub(in crate::cli) struct KeyArgs {
    /// The endpoint whose key is asked for: PROFILE/ID, or ID where only one is called so.
    #[arg(required_unless_present = "client", add = ArgValueCandidates::new(complete::endpoints))]
    endpoint: Option<String>,
    /// The client of the proxy whose token is asked for.
    #[arg(long, value_name = "NAME", conflicts_with = "endpoint")]
    client: Option<String>,
}

/// Prints it.
pub(in crate::cli) fn key(args: &KeyArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        if io::stdout().is_terminal() {
            let why = "a key is not shown on a terminal; this command is for programs: `qcc run` and `qcc use` name it";
            return Err(Failure::Refused(why.to_owned()));
        }
        let secret = find(&spec(args, &sheet)?, sheet.path())?;
        let line = Zeroizing::new(format!("{}\n", secret.expose()));
        Ok(stdout::print(&line, ExitCode::SUCCESS))
    }))
}

fn spec(args: &KeyArgs, sheet: &Sheet) -> Result<SecretSpec, Failure> {
    let config = sheet.config()?;
    if let Some(name) = &args.client {
        let client = config.server.clients.iter().flatten().find(|client| client.name == *name);
        let unknown = || Failure::Refused(format!("`server.clients` has no `{name}`"));
        return client.map(|client| client.token.clone()).ok_or_else(unknown);
    }
    let endpoint = sheet.endpoint(args.endpoint.as_deref().unwrap_or_default())?;
    let none = || Failure::Refused(format!("`{}` has no key of its own", endpoint.name()));
    target::key(config, &endpoint.profile, &endpoint.id).cloned().ok_or_else(none)
}

/// The secret that `spec` of the file at `path` refers to. A program that prints it is run.
pub(super) fn find(spec: &SecretSpec, path: &File) -> Result<Secret, Failure> {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let found = runtime.block_on(secrets::find(spec, directory(&path)));
    found.map_err(|why| Failure::CouldNot(format!("no key: {why}")))
}
