//! What an instance did before this process: the files it accepted.

use crate::config::{Instance, Loaded, load_bytes};
use crate::snapshot::accepted::{Accepted, Revision, without_blanks};
use crate::snapshot::reload::Past;

/// The file to start with, and what was before. With `use_last_good` a file with errors gives way to the one that was
/// accepted last, if that is kept; keys that stood in it in clear are not.
pub(super) fn resume(loaded: Loaded, instance: Option<&Instance>, use_last_good: bool) -> (Loaded, Past) {
    let Some(accepted) = instance.map(|instance| Accepted::of(&instance.state)) else {
        return (loaded, Past::default());
    };
    let latest = accepted.latest().unwrap_or_else(|error| {
        tracing::warn!(%error, "the accepted files cannot be read; generations count from 1");
        None
    });
    let good = latest.as_ref().filter(|_| use_last_good && loaded.config.is_none());
    let good = good.and_then(|revision| last_good(&loaded, &accepted, revision));
    let past = Past { accepted: Some(accepted), latest, last_good: good.is_some(), ..Past::default() };
    (good.unwrap_or(loaded), past)
}

fn last_good(bad: &Loaded, accepted: &Accepted, revision: &Revision) -> Option<Loaded> {
    let text = match accepted.text(revision) {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, revision = revision.number, "the last good file cannot be read");
            return None;
        }
    };
    let mut good = load_bytes(&bad.path, text.as_bytes());
    let Some(config) = &mut good.config else {
        tracing::error!(revision = revision.number, "the last good file is not valid for this version of qcc");
        return None;
    };
    without_blanks(config);
    good.sha256.clone_from(&revision.sha256);
    let at = humantime::format_rfc3339_seconds(revision.at);
    let errors = bad.errors();
    tracing::error!(
        revision = revision.number,
        accepted = %at,
        errors,
        report = bad.report(false),
        "the file is not valid: starting from the last good one; keys that stood in clear are missing"
    );
    Some(good)
}
