//! Asking for checks: by hand, and for an endpoint that fell silent.

use tokio::sync::mpsc;

use super::check::Check;
use crate::upstream::endpoint::EndpointId;

/// Requests that wait; a suspicion beyond them is dropped, since the next one says the same.
const WAITING: usize = 256;

/// What came of a check that was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// Which endpoint.
    pub endpoint: EndpointId,
    /// The check, or why there was none.
    pub result: Result<Check, &'static str>,
}

/// Something the monitor is to do.
#[derive(Debug)]
pub(super) enum Order {
    /// Checks these now; each result goes there. The last sender that is dropped ends it.
    Check(Vec<EndpointId>, mpsc::UnboundedSender<Checked>),
    /// A client left this one after a long silence.
    Suspect(EndpointId),
}

/// Asks the monitor for checks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Checks(mpsc::Sender<Order>);

/// The monitor's end.
#[derive(Debug)]
pub struct Orders(pub(super) mpsc::Receiver<Order>);

impl Checks {
    /// The two ends.
    pub fn channel() -> (Self, Orders) {
        let (orders, received) = mpsc::channel(WAITING);
        (Self(orders), Orders(received))
    }

    /// Checks `endpoints` now, whatever the file says about regular checks, and waits for the results. As long as the
    /// checks take: each at most its timeout, a few at once. Empty when the proxy is stopping.
    pub async fn check(&self, endpoints: Vec<EndpointId>) -> Vec<Checked> {
        let (answer, mut answers) = mpsc::unbounded_channel();
        let mut results = Vec::with_capacity(endpoints.len());
        if self.0.send(Order::Check(endpoints, answer)).await.is_ok() {
            while let Some(checked) = answers.recv().await {
                results.push(checked);
            }
        }
        results
    }

    /// A client left `endpoint` after a long silence: it is to be checked at once. Never waits.
    pub fn suspect(&self, endpoint: &EndpointId) {
        if self.0.try_send(Order::Suspect(endpoint.clone())).is_err() {
            tracing::debug!("a suspicion about an endpoint was dropped");
        }
    }
}
