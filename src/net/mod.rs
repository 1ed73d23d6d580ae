//! Ground under both sides of the proxy: listening sockets, TLS, and connections to endpoints.
//!
//! `listen` takes connections in; `target` says how an endpoint is reached (name, TLS, proxy) and `connect` goes there.
//! What is spoken over a connection is not known here: that is `upstream::client` and `proxy`.
//!
//! - Certificates are always verified; there is no switch against it.
//! - No error and no Debug text shows a password, a key or the user part of a URL.

pub mod connect;
mod dial;
pub mod listen;
pub mod own;
pub mod proxy;
pub mod target;
pub mod tls;
mod tunnel;

pub use own::OwnAddresses;
pub use proxy::Proxy;
pub use target::{PoolId, Target};
