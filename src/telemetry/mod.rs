//! What a running proxy tells: events for whoever listens, log lines for whoever reads later.

#[cfg(test)]
mod capture;
pub mod event;
mod file;
mod lines;
pub mod log;
pub mod meter;
pub mod redact;
mod sink;
mod text;

pub use event::{Event, Events};
pub(crate) use text::escape;
