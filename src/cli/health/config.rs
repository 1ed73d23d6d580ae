//! `qcc health config`: how endpoints are checked.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;

use crate::cli::edit::{self, EditArgs, Wishes};
use crate::config::units::Dur;

/// What can be typed after `qcc health config`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed; `wishes` makes sense of them")]
pub(in crate::cli) struct ConfigArgs {
    /// Check endpoints.
    #[arg(long, conflicts_with = "disable")]
    enable: bool,
    /// Check no endpoint: state follows traffic alone.
    #[arg(long)]
    disable: bool,
    /// Time between checks of an endpoint that admits: seconds, or for example 5m.
    #[arg(long, value_name = "DURATION")]
    interval: Option<Dur>,
    /// Time between checks of an endpoint that is to come back.
    #[arg(long, value_name = "DURATION")]
    recovery_interval: Option<Dur>,
    /// How long a check may take.
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Dur>,
    /// What a check does.
    #[arg(long, value_name = "KIND", value_parser = ["auto", "messages", "models", "reachability", "off"])]
    probe: Option<String>,
    /// Model asked by a conversation check.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The health score lowers an endpoint's effective weight.
    #[arg(long, conflicts_with = "disable_weight_adjustment")]
    enable_weight_adjustment: bool,
    /// Endpoints share as written, whatever their health.
    #[arg(long)]
    disable_weight_adjustment: bool,
    /// Checks before the score counts.
    #[arg(long, value_name = "N")]
    min_checks: Option<u32>,
    #[command(flatten)]
    edit: EditArgs,
}

/// Changes the file, or shows what it says.
pub(super) fn run(args: &ConfigArgs, named: Option<&File>) -> ExitCode {
    edit::section(named, &args.edit, "health", args.wishes(), |config| &config.health)
}

impl ConfigArgs {
    fn wishes(&self) -> Wishes {
        Wishes::default()
            .either("enabled", self.enable, self.disable)
            .and("interval", self.interval)
            .and("recovery_interval", self.recovery_interval)
            .and("timeout", self.timeout)
            .and("probe", self.probe.as_ref())
            .and("model", self.model.as_ref())
            .either("adjust_weights", self.enable_weight_adjustment, self.disable_weight_adjustment)
            .and("min_checks", self.min_checks)
    }
}
