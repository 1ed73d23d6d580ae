//! What the file says, and everything wrong with it.

pub mod model;
pub mod policy;
pub mod secret;
pub mod units;

pub use model::Config;
pub use secret::{Secret, SecretSpec};
