//! A gate that scripted things wait behind until a test opens it.

use tokio::sync::watch;

/// Closed until [`Gate::open`]; clones are the same gate.
#[derive(Clone, Debug)]
pub(crate) struct Gate(watch::Sender<bool>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn opened(&self) {
        let mut state = self.0.subscribe();
        state.wait_for(|open| *open).await.expect("this gate holds the sender");
    }
}
