//! The running configuration: one immutable value, how it is made and how it is replaced.

pub mod changes;
mod read;
pub mod secrets;
mod spec;
pub mod watch;
