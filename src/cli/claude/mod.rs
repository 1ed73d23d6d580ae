//! Pointing Claude Code somewhere: in its settings (`use`), in a shell (`env`), for one command (`run`).
//!
//! - Where it is pointed is a [`Target`]: the proxy, or the first endpoint of a profile.
//! - Of the settings only the keys in [`settings::KEYS`] are touched; everything else keeps its place and its layout.
//! - No key is written or printed. What needs one gets a command that asks for it when it is needed: `qcc key`, which finds
//!   it where the proxy would.

mod backup;
mod json;
mod key;
mod point;
mod run;
mod settings;
mod shell;
mod target;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::complete;
use super::edit::{Failure, Sheet};
use target::Target;

pub(super) use key::{KeyArgs, key};
pub(super) use point::{ProxyUseArgs, UseArgs, point, point_at_proxy};
pub(super) use run::{RunArgs, run};
pub(super) use shell::{EnvArgs, env};

/// Where Claude Code is pointed.
#[derive(Debug, Args)]
struct TargetArgs {
    /// Profile whose first endpoint is talked to directly. Default: `default` of the file.
    #[arg(conflicts_with = "proxy", add = ArgValueCandidates::new(complete::profiles))]
    name: Option<String>,
    /// The proxy that runs the file.
    #[arg(long)]
    proxy: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Who Claude Code is to the proxy.
#[derive(Debug, Default, Args)]
struct ClientArgs {
    /// Name in `server.clients` to call the proxy as. Default: the only one there is.
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    client: Option<String>,
}

impl TargetArgs {
    fn target(&self, sheet: &Sheet) -> Result<Target, Failure> {
        if self.proxy || self.client.client.is_some() {
            return Target::proxy(sheet, None, self.client.client.as_deref());
        }
        let name = self.name.as_deref().or(sheet.config()?.default.as_deref());
        let unnamed = "name a profile, or `--proxy`; `qcc default NAME` sets the profile that is meant without a name";
        name.ok_or_else(|| Failure::CouldNot(unnamed.to_owned())).and_then(|name| Target::profile(sheet, name))
    }
}
