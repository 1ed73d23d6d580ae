//! What a running proxy shows and takes: a JSON API under `/v1/`, and how commands reach it.
//!
//! ```text
//! cli -> client ~~ socket (0600 in a 0700 folder, peer checked) ~~> serve -> routes -> view
//!        programs ~~ listener (loopback, token, Host, Origin) ~~>
//! ```
//!
//! - Routes are one noun per file in `routes`; each adds its own to the table in `routes/mod.rs`. They share a [`Proxy`].
//! - What is said is a type of [`view`], the same for the API, its clients and its description; nothing else is JSON here.
//! - An error is always `{"error": {"code", "message"}}`; `code` is a stable word, `message` says what to do.
//! - Nothing shown holds a key, and no request of the API can carry one.
//! - It runs on the background thread: nothing it does delays a request. Connections, heads, bodies and waits are bounded.
//!
//! It never changes the file: that is what editing commands are for.

pub mod client;
mod error;
mod extract;
mod happened;
mod listener;
mod metrics;
mod proxy;
mod routes;
mod serve;
pub mod show;
pub mod socket;
mod standing;
mod token;
pub mod view;

pub use self::happened::Happened;
pub use self::listener::Listener;
pub use self::proxy::Proxy;
pub use self::serve::serve;
