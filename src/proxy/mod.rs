//! The downstream side of a request: who may ask, what is taken in, what is answered here.
//!
//! ```text
//! accept -> serve (TLS, HTTP) -> service::handle -> admission -> body -> dispatch::send -> relay
//! ```
//!
//! - [`service::handle`] reads like a table of contents; each step lives in a file of its name.
//! - Every wait of a connection has a limit, kept by [`connection::Activity`].
//! - A panic ends one request with a 500, not its neighbours.

pub mod admission;
pub mod body;
pub mod connection;
pub mod local;
pub mod serve;
pub mod service;
mod stream;
