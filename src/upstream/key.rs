//! placeholder until the state machine lands
/// Placeholder.
#[derive(Debug)]
pub struct KeyState;
