//! What changes entries.

use std::process::ExitCode;

use serde_json::json;

use super::{ClearArgs, NameArgs, Shape, SureArgs};
use crate::admin::client::ClientError;
use crate::admin::view::queue::{EntryCount, EntryName, EntryRetry, EntryState};
use crate::cli::edit::Failure;
use crate::cli::place::{Place, refused};
use crate::cli::{prompt, stdout};
use crate::store::entries::{self, State};

/// Tries one entry now.
pub(super) fn retry(place: &Place, args: &NameArgs) -> Result<ExitCode, Failure> {
    let NameArgs { id, shape } = args;
    let due = retried(place, "/v1/queue/retry", &EntryName { id: id.clone() })?;
    let when =
        due.waits.as_ref().map_or_else(|| "is tried now".to_owned(), |why| format!("is due now, but {NOT_YET}{why}"));
    Ok(told(*shape, &due, &format!("`{id}` {when}; `qcc queue show {id}` tells how it goes.")))
}

/// Tries all entries now.
pub(super) fn retry_all(place: &Place, args: &SureArgs) -> Result<ExitCode, Failure> {
    let kept = place.read(entries::statistics)?.unwrap_or_default();
    let [waiting, _, _, dead] = kept.by_state;
    // It needs a proxy anyway: nobody is asked in vain.
    place.proxy().and_then(|proxy| proxy.get::<serde_json::Value>("/v1/status")).map_err(refused)?;
    if waiting + dead == 0 {
        return Ok(told(args.shape, &EntryRetry { count: 0, waits: None }, "There is nothing to try."));
    }
    let question = format!("Try {waiting} waiting and {dead} dead entries now? Each may be billed. [y/N] ");
    agree(&question, args.yes)?;
    let due = retried(place, "/v1/queue/retry-all", &json!({}))?;
    let when = due.waits.as_ref().map_or_else(String::new, |why| format!(", but {NOT_YET}{why}"));
    Ok(told(args.shape, &due, &format!("{} entries are due now{when}.", due.count)))
}

/// Before the reason for which what is due is not tried.
const NOT_YET: &str = "not tried yet: ";

fn retried<B: serde::Serialize>(place: &Place, path: &str, body: &B) -> Result<EntryRetry, Failure> {
    place.proxy().and_then(|proxy| proxy.post(path, body)).map_err(refused)
}

fn told(shape: Shape, due: &EntryRetry, words: &str) -> ExitCode {
    if shape.json {
        return stdout::print(&format!("{:#}\n", json!(due)), ExitCode::SUCCESS);
    }
    eprintln!("{words}");
    ExitCode::SUCCESS
}

/// Takes one entry out.
pub(super) fn remove(place: &Place, args: &NameArgs) -> Result<ExitCode, Failure> {
    let NameArgs { id, shape } = args;
    let name = id.clone();
    let unknown = || Failure::Refused(format!("no entry is called `{id}`; `qcc queue list` shows them"));
    match ask(place, "/v1/queue/remove", &EntryName { id: id.clone() }) {
        Ok(EntryCount { .. }) => {}
        Err(ClientError::NotRunning(_)) => {
            // Nothing is made where nothing was kept.
            place.read(|view| entries::get(view, id))?.flatten().ok_or_else(unknown)?;
            if !place.write(move |tx| entries::remove(tx, &name))? {
                return Err(unknown());
            }
        }
        Err(error) => return Err(refused(error)),
    }
    Ok(said(*shape, 1, &format!("`{id}` is taken out.")))
}

/// Takes all entries out, or those of one state.
pub(super) fn clear(place: &Place, args: &ClearArgs) -> Result<ExitCode, Failure> {
    let ClearArgs { state, sure } = args;
    let state = *state;
    let kept = place.read(entries::statistics)?.unwrap_or_default();
    let count = kept.by_state.iter().zip(State::ALL).filter(|(_, of)| state.is_none_or(|state| state == *of));
    let count: u64 = count.map(|(count, _)| count).sum();
    if count == 0 {
        return Ok(said(sure.shape, 0, "There is nothing to take out."));
    }
    agree_twice(count, state, sure.yes)?;
    let word = EntryState { state: state.map(|state| state.to_string()) };
    let count = match ask(place, "/v1/queue/clear", &word) {
        Ok(EntryCount { count }) => count,
        Err(ClientError::NotRunning(_)) => place.write(move |tx| entries::clear(tx, state))?,
        Err(error) => return Err(refused(error)),
    };
    Ok(said(sure.shape, count, &format!("{count} entries are taken out.")))
}

fn ask<B: serde::Serialize>(place: &Place, path: &str, body: &B) -> Result<EntryCount, ClientError> {
    place.proxy()?.post(path, body)
}

fn agree(question: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !prompt::somebody() {
        return Err(Failure::CouldNot("nobody is here to be asked: pass `--yes`".to_owned()));
    }
    let answer = prompt::line(&mut std::io::stdin().lock(), question)?;
    let agreed = matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes");
    if agreed { Ok(()) } else { Err(Failure::Refused("nothing was changed".to_owned())) }
}

/// What cannot be had back is asked for twice.
fn agree_twice(count: u64, state: Option<State>, yes: bool) -> Result<(), Failure> {
    let which = state.map_or_else(String::new, |state| format!(" {state}"));
    agree(&format!("Take out {count}{which} entries, their requests and their answers? [y/N] "), yes)?;
    if yes {
        return Ok(());
    }
    let typed = prompt::line(&mut std::io::stdin().lock(), &format!("Type their number ({count}) to go on: "))?;
    if typed == count.to_string() { Ok(()) } else { Err(Failure::Refused("nothing was changed".to_owned())) }
}

fn said(shape: Shape, count: usize, words: &str) -> ExitCode {
    if shape.json {
        return stdout::print(&format!("{:#}\n", json!({ "count": count })), ExitCode::SUCCESS);
    }
    eprintln!("{words}");
    ExitCode::SUCCESS
}
