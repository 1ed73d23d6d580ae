//! What the file says, and everything wrong with it.

mod diagnostic;
mod document;
mod load;
mod locate;
mod mask;
mod node;
mod parse;
mod place;
mod report;
mod salvage;
mod scalar;
mod syntax;
#[cfg(test)]
mod tests;
mod validate;
mod violation;

pub mod model;
pub mod policy;
pub mod schema;
pub mod secret;
pub mod units;

pub use diagnostic::{Diagnostic, Severity};
pub use load::{Loaded, MAX_BYTES, load, load_bytes, resolve};
pub use locate::{NotFound, instance_id, locate};
pub use model::Config;
pub use schema::schema;
pub use secret::{Secret, SecretSpec};
