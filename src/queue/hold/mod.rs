//! Holding requests while an endpoint is expected back.
//!
//! The [`Line`] keeps who waits, in order; the [`conduct()`] task gives turns; a request that gets its turn sees for itself
//! whether somebody takes it now, and either leaves or stays.
//!
//! Invariants:
//! - one turn at a time, in order: first come, first served, and of several clients each in turn;
//! - a request leaves only with leave to be sent: an endpoint on probation calls one at a time, and nobody stampedes;
//! - nobody polls: turns are given when the bell rings and when the soonest known return has come;
//! - the line is as long as `server.limits.in_flight` and holds as many bytes as `buffered` allow: who waits counts there;
//! - a client that leaves is gone at once, with its place.

mod conduct;
mod line;
mod order;
mod wait;

pub use conduct::conduct;
pub use line::{Line, View};
pub use wait::Stay;
