//! Who is told.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use http::Uri;

use crate::config::Secret;
use crate::config::model::Notify;
use crate::snapshot::hooks::Headers;
use crate::telemetry::redact::register;

/// A webhook or a program. Shown without what may be a secret: the path of a webhook, the arguments of a program.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Target {
    Webhook(String, Headers),
    Program(Vec<String>),
}

impl Hash for Target {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Webhook(url, _) => url.hash(state),
            Self::Program(words) => words.hash(state),
        }
    }
}

impl Target {
    /// The one of `item`, which is sent these `headers`.
    pub(super) fn of(item: &Notify, headers: &Headers) -> Option<Self> {
        let webhook = item.webhook.clone().map(|url| Self::Webhook(url, Arc::clone(headers)));
        webhook.or_else(|| item.command.clone().map(Self::Program))
    }

    /// From now on what is secret about it appears in no log line.
    pub(super) fn keep_secret(&self) {
        let Self::Webhook(url, _) = self else { return };
        register(&Secret::new(url.as_str()));
        // A path that says nothing would blank every other one.
        let path = url.parse::<Uri>().ok().and_then(|uri| Some(uri.path_and_query()?.as_str().to_owned()));
        if let Some(path) = path.filter(|path| path.len() > 16) {
            register(&Secret::new(path));
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(url, _) => {
                let uri = url.parse::<Uri>().ok();
                f.write_str(uri.as_ref().and_then(Uri::host).unwrap_or("a webhook"))
            }
            Self::Program(words) => f.write_str(words.first().map_or("a program", String::as_str)),
        }
    }
}
