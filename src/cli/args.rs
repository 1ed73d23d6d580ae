//! What can be typed.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::claude::{EnvArgs, KeyArgs, RunArgs, UseArgs};
use super::complete::CompletionsArgs;
use super::config::ConfigCommand;
use super::demo::DemoArgs;
use super::endpoint::EndpointCommand;
use super::explain::ExplainArgs;
use super::health::HealthCommand;
use super::import::ImportArgs;
use super::init::InitArgs;
use super::later::Later;
use super::man::ManArgs;
use super::plan::PlanArgs;
use super::priority::PriorityCommand;
use super::profile::{AddArgs, DefaultArgs, ListArgs, RemoveArgs, RenameArgs};
use super::proxy::ProxyCommand;
use super::queue::QueueCommand;
use super::status::StatusArgs;
use super::validate::ValidateArgs;

/// A configuration-as-code failover proxy with hot reload for Claude Code and every Anthropic Messages client.
#[derive(Debug, Parser)]
#[command(name = "qcc", version, propagate_version = true, max_term_width = 80)]
pub(super) struct Args {
    /// The qcc.yaml to use. Default: QCC_CONFIG, else the nearest qcc.yaml upwards, else $XDG_CONFIG_HOME/qcc/qcc.yaml.
    #[arg(short, long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// See the proxy work, and break, over simulated endpoints: no key, no network.
    Demo(Later<DemoArgs>),
    /// Write a commented starter qcc.yaml; never overwrites one.
    Init(Later<InitArgs>),
    /// Take over what another tool was set up with.
    Import(Later<ImportArgs>),
    /// Add a profile.
    Add(Later<AddArgs>),
    /// List the profiles of the file.
    List(Later<ListArgs>),
    /// Remove a profile.
    Remove(Later<RemoveArgs>),
    /// Rename a profile, wherever the file names it.
    Rename(Later<RenameArgs>),
    /// Set the profile that is meant where none is named.
    Default(Later<DefaultArgs>),
    /// Point Claude Code at a profile or at the proxy, in its settings.
    Use(Later<UseArgs>),
    /// Print the same as exports, for `eval`.
    Env(Later<EnvArgs>),
    /// Run a command with Claude Code's environment set, and the proxy for as long as it takes.
    Run(Later<RunArgs>),
    /// Print a key to the program that asks for it: what Claude Code's `apiKeyHelper` runs.
    Key(Later<KeyArgs>),
    /// Show everything on one screen: the proxy, the active profile, the endpoints, the queue.
    Status(Later<StatusArgs>),
    /// Say who would serve a request now, in which order, and why not the others.
    Explain(Later<ExplainArgs>),
    /// Add, list, change and remove endpoints.
    #[command(subcommand)]
    Endpoint(Later<EndpointCommand>),
    /// Order the profiles into a chain, say when it moves, and move it.
    #[command(subcommand)]
    Priority(Later<PriorityCommand>),
    /// See how endpoints do, check them, and say how they are checked.
    #[command(subcommand)]
    Health(Later<HealthCommand>),
    /// Say how requests wait and are tried again.
    #[command(subcommand)]
    Queue(Later<QueueCommand>),
    /// Read and change single values of the file, by their path.
    #[command(subcommand)]
    Config(Later<ConfigCommand>),
    /// Run the proxy.
    #[command(subcommand)]
    Proxy(Later<ProxyCommand>),
    /// Say what saving the file would do to the running proxy; exit code 2 if something.
    Plan(Later<PlanArgs>),
    /// Print how the file differs from the one that runs; exit code 1 if it does.
    Diff,
    /// Check configuration files: everything wrong with them, with its place.
    Validate(Later<ValidateArgs>),
    /// Print the JSON Schema of qcc.yaml.
    Schema,
    /// Print the script that makes a shell complete commands, names, paths and values.
    Completions(Later<CompletionsArgs>),
    /// Print the manual page, or write those of every command.
    Man(Later<ManArgs>),
}
