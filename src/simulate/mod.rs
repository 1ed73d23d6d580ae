//! Simulated Anthropic endpoints on loopback: something to serve from without a key or a network, and something to break.
//!
//! Each [`SimulatedEndpoint`] is an HTTP/1.1 and h2c server of its own port that answers the Messages API the way the real
//! one does, in the shapes and the order of its events, and says in its text which endpoint it is. How it behaves can be
//! changed while it runs, by [`Simulator::behave`] or by anyone with curl:
//!
//! ```text
//! curl -X POST http://127.0.0.1:7871/simulate/overloaded        this endpoint
//! curl -X POST http://127.0.0.1:7871/simulate/glm/healthy       another one, also while it refuses connections
//! curl         http://127.0.0.1:7871/simulate                   all of them
//! ```
//!
//! - everything runs in tasks that end when the [`Simulator`] is dropped;
//! - connections, bodies and waits are bounded;
//! - it never looks at a credential beyond whether there is one, and keeps nothing of a request.
//!
//! It does not model answers: no tools, no images, no thinking, no real token counts.

mod answer;
mod behaviour;
mod body;
mod control;
mod message;
mod server;
#[cfg(test)]
mod tests;

pub use behaviour::{Behaviour, UnknownBehaviour};
pub use server::{SimulatedEndpoint, Simulator, StartError};
