//! Who can answer, and how well it goes.

pub mod affinity;
pub mod attempt;
pub mod balance;
pub mod bell;
pub mod breaker;
pub mod change;
pub mod classify;
pub mod client;
pub mod eligible;
pub mod endpoint;
pub mod key;
pub mod outcome;
mod places;
pub mod probe;
pub mod profile;
pub mod reset;
pub mod rest;
pub mod sample;
pub mod state;
pub mod tally;
pub mod weight;

mod fault;
#[cfg(test)]
pub(crate) mod fixture;
mod latency;
mod rate;
mod recent;
mod window;
