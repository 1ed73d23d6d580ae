//! Whether what is written lasts.

use std::sync::Arc;
use std::time::SystemTime;

/// Whether what is written lasts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Good,
    /// Since the start: state is in memory only.
    Memory {
        /// Why.
        why: Arc<str>,
    },
    /// The last commit failed. After a disk that was full or refused to be written the next one tries again; after anything
    /// else none does.
    ReadOnly {
        /// Why.
        why: Arc<str>,
        /// Since when.
        since: SystemTime,
    },
}

impl Standing {
    /// Whether what is written lasts.
    pub fn is_good(&self) -> bool {
        *self == Self::Good
    }
}
