//! `qcc priority`: the chain of profiles, which of them is active, and what makes another one active.
//!
//! The chain and the policy are the file's; the active profile is the proxy's. Without one it is kept in the state file, and
//! the next proxy takes it up.

mod history;
mod list;
mod steer;

use std::path::Path as File;
use std::process::ExitCode;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use clap_complete::engine::ArgValueCandidates;
use serde_json::json;

use super::complete;
use super::edit::{self, EditArgs, Failure, Sheet, Tier, Wishes};
use crate::config::units::Dur;
use crate::patch::{Edit, Path};

/// What can be done with the chain.
#[derive(Debug, Subcommand)]
pub(super) enum PriorityCommand {
    /// Give a profile its place in the chain.
    Set(SetArgs),
    /// Change when another profile becomes active, and when the better one returns. Without flags: show it.
    Policy(PolicyArgs),
    /// List the tiers with their profiles, the active one marked, and the policy.
    List(ListArgs),
    /// Make a profile active and keep it so; `--auto` ends that.
    Switch(SwitchArgs),
    /// Make the next profile that can serve the active one, without keeping it so.
    Failover(FailoverArgs),
    /// Show which profile became active when, and why.
    History(HistoryArgs),
}

/// What can be typed after `qcc priority switch`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("wish").required(true).args(["name", "auto"]))]
pub(super) struct SwitchArgs {
    /// Name of the profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    name: Option<String>,
    /// Let the active profile change by itself again.
    #[arg(long, conflicts_with = "reason")]
    auto: bool,
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON document: active, from, pinned, released.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc priority failover`.
#[derive(Debug, Args)]
pub(super) struct FailoverArgs {
    /// Why, for the history.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON document: active, from, pinned, released.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc priority history`.
#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// At most so many.
    #[arg(short = 'n', value_name = "N", default_value_t = 20)]
    count: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What can be typed after `qcc priority set`.
#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name of the profile.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    name: String,
    /// Its place.
    #[arg(value_enum)]
    tier: Place,
    #[command(flatten)]
    edit: EditArgs,
}

/// A tier, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    In(Tier),
    Out,
}

impl ValueEnum for Place {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::In(Tier::Primary), Self::In(Tier::Secondary), Self::In(Tier::Fallback), Self::Out]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        match self {
            Self::In(tier) => tier.to_possible_value(),
            Self::Out => Some(clap::builder::PossibleValue::new("none").help("Takes no traffic")),
        }
    }
}

/// What can be typed after `qcc priority policy`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag as it is typed; `wishes` makes sense of them")]
pub(super) struct PolicyArgs {
    /// Requests spill along the chain, and another profile becomes active by itself.
    #[arg(long, conflicts_with = "no_auto_failover")]
    auto_failover: bool,
    /// Requests stay with the active profile.
    #[arg(long)]
    no_auto_failover: bool,
    /// The better profile becomes active again by itself.
    #[arg(long, conflicts_with = "no_auto_recovery")]
    auto_recovery: bool,
    /// The better profile does not return by itself.
    #[arg(long)]
    no_auto_recovery: bool,
    /// Failures in a row that eject an endpoint or switch the profile.
    #[arg(long, value_name = "N")]
    failure_threshold: Option<u32>,
    /// Time between a switch and the next recovery: seconds, or for example 5m.
    #[arg(long, value_name = "DURATION")]
    cooldown: Option<Dur>,
    #[command(flatten)]
    edit: EditArgs,
}

/// What can be typed after `qcc priority list`.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs `qcc priority ...`.
pub(super) fn run(command: &PriorityCommand, named: Option<&File>) -> ExitCode {
    match command {
        PriorityCommand::Set(args) => edit::run(named, &args.edit, |sheet| set(sheet, args)),
        PriorityCommand::Policy(args) => {
            edit::section(named, &args.edit, "failover", args.wishes(), |config| &config.failover)
        }
        PriorityCommand::List(args) => list::run(args.json, named),
        PriorityCommand::Switch(args) => steer::switch(args, named),
        PriorityCommand::Failover(args) => steer::failover(args, named),
        PriorityCommand::History(args) => history::run(args, named),
    }
}

fn set(sheet: &Sheet, args: &SetArgs) -> Result<Vec<Edit>, Failure> {
    sheet.has_profile(&args.name)?;
    let path = Path::of(&["profiles", &args.name, "tier"]);
    Ok(match args.tier {
        Place::In(tier) => vec![Edit::Set { path, value: json!(tier.as_str()) }],
        Place::Out if sheet.get(&["profiles", &args.name, "tier"]).is_some() => vec![Edit::Unset { path }],
        Place::Out => Vec::new(),
    })
}

impl PolicyArgs {
    fn wishes(&self) -> Wishes {
        Wishes::default()
            .either("auto_failover", self.auto_failover, self.no_auto_failover)
            .either("auto_recovery", self.auto_recovery, self.no_auto_recovery)
            .and("failure_threshold", self.failure_threshold)
            .and("cooldown", self.cooldown)
    }
}
