//! What webhooks are sent beside the message.

use std::sync::Arc;

use http::HeaderName;

use super::secrets::Resolved;
use crate::config::{Config, Secret};

/// The headers of one item of `notify`: each its value, or why it has none.
pub type Headers = Arc<[(HeaderName, Result<Secret, Arc<str>>)]>;

/// The headers of every item of `notify`, in their order.
pub(super) fn headers(config: &Config, resolved: &Resolved) -> Arc<[Headers]> {
    let of = |item: &crate::config::model::Notify| -> Headers {
        let named = item.headers.iter().filter_map(|(name, spec)| {
            let value = resolved.get(spec).cloned().map_err(|why| Arc::from(why.to_string()));
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, value))
        });
        named.collect()
    };
    config.notify.iter().map(of).collect()
}
