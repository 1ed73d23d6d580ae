//! **qcc** runs one declarative `qcc.yaml` as a failover proxy for Anthropic Messages traffic and swaps it the moment it is saved.
//!
//! `qcc.yaml -> config::load -> snapshot::build -> SnapshotCell -> proxy::service -> dispatch::send -> upstream::client -> outcome -> failover`

pub mod app;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod failover;
pub mod limit;
pub mod net;
pub mod patch;
pub mod proxy;
pub mod simulate;
pub mod snapshot;
pub mod telemetry;
pub mod time;
pub mod upstream;
