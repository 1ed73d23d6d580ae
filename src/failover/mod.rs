//! Which profile is active, and why it changed.

pub mod chain;
pub mod driver;
pub mod machine;
pub mod proof;
pub mod reports;
pub mod steering;
