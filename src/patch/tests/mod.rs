//! Tests of the edit engine.

mod diffs;
mod properties;
mod table;
mod writing;
