//! Tests of `load` as a whole.

mod golden;
mod hostile;
mod properties;
mod secrets;
