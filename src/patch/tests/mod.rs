//! Tests of the edit engine.

mod properties;
mod table;
mod writing;
