//! Checks of the endpoints, and what their health leaves of their weight.
//!
//! ```text
//! schedule (when, which kind) -> probe (what is sent) -> send -> check (what came of it) -> upstream::probe: the machine
//!                                                                  |
//!                                       requests (samples) ----> record, score -> factor -> effective weight
//! ```
//!
//! - Requests tell first: an endpoint that serves is not probed on top (`auto`), and a probe never overrules them.
//! - What requests told and what checks told is kept apart; the score reads one of them at a time.
//! - Decisions are pure; the waiting is in [`monitor`], one task on the background thread.

pub mod check;
pub mod factor;
pub mod keep;
pub mod kept;
pub mod monitor;
pub mod once;
pub mod probe;
pub mod record;
pub mod records;
pub mod request;
pub mod schedule;
pub mod score;
mod send;
mod subject;
