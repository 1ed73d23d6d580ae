//! Log lines in memory, for the tests of this folder.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::redact::Redacted;

/// Collects what is logged.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    /// Makes writers that redact into this buffer, as the sink does.
    pub(super) fn writer(&self) -> impl Fn() -> Redacted<Self> + Send + Sync + 'static {
        let buffer = self.clone();
        move || Redacted(buffer.clone())
    }

    /// The lines so far.
    pub(super) fn lines(&self) -> Vec<String> {
        let bytes = self.0.lock().expect("no test panics while it writes").clone();
        String::from_utf8(bytes).expect("logs are text").lines().map(str::to_owned).collect()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics while it writes").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
