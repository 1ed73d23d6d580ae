//! What a running proxy tells: events for whoever listens, log lines for whoever reads later.

pub mod event;

pub use event::{Event, Events};
