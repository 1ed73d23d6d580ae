//! Who can answer, and how well it goes.

pub mod affinity;
pub mod attempt;
pub mod balance;
pub mod breaker;
pub mod classify;
pub mod client;
pub mod eligible;
pub mod endpoint;
pub mod key;
pub mod outcome;
pub mod profile;
pub mod rest;
pub mod state;
pub mod weight;

mod fault;
#[cfg(test)]
mod fixture;
mod latency;
mod rate;
mod recent;
mod window;
