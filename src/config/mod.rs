//! What the file says, and everything wrong with it.
//!
//! `source` (bytes) -> `parse` (a tree with spans) -> `document` (its plain value) -> `schema`, `violation` (what has the wrong
//! shape) -> `salvage` (what is left) -> [`model`] (types) -> `validate` (rules) -> [`Loaded`] -> `report` (for people, secrets
//! blanked by `mask`).
//!
//! - [`load()`] is the only way from a file to a [`Config`]; what it accepts is what the proxy runs;
//! - problems are data, a list of [`Diagnostic`]: all of them, each at its character;
//! - nothing shown holds a secret;
//! - it changes no file, resolves no secret (only [`resolve`] looks for them, when asked) and runs no command.

mod blank;
mod diagnostic;
mod document;
mod instance;
mod load;
mod locate;
mod mask;
mod node;
mod parse;
mod place;
mod report;
mod salvage;
pub(crate) mod scalar;
mod source;
mod syntax;
#[cfg(test)]
mod tests;
mod validate;
mod violation;

pub mod model;
pub mod policy;
pub mod schema;
pub mod secret;
pub mod server;
pub mod units;

pub use blank::{BLANK, alike, blanked, effective, exported};
pub use diagnostic::{Diagnostic, Severity};
pub use instance::{Elsewhere, Instance};
pub use load::{Loaded, load, load_bytes, resolve, sha256};
pub use locate::{NotFound, instance_id, lexical, locate};
pub(crate) use mask::secrets;
pub use model::Config;
pub use schema::schema;
pub use secret::{Secret, SecretSpec};
pub use source::MAX_BYTES;
