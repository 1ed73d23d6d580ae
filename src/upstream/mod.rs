//! Who can answer, and how well it goes.

pub mod client;
pub mod endpoint;
pub mod key;
pub mod profile;
pub mod state;
