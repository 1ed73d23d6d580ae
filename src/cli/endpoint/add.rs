//! `qcc endpoint add`: a new endpoint, or copies of those of another profile.
//!
//! - A copy is what it takes to reach the original; its part in the profile (weight, priority, enabled) starts at the defaults.
//! - The same address with the same key is the same endpoint: it gets the given fields instead of a twin. An `--id` decides
//!   which one is meant.

use std::path::Path as File;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Map, Value, json};

use super::updates;
use super::wizard::{self, Answers};
use crate::cli::complete;
use crate::cli::edit::{self, AccessArgs, EditArgs, Endpoint, Failure, ShareArgs, Sheet};
use crate::cli::keys::{self, Line};
use crate::patch::Edit;

/// What can be typed after `qcc endpoint add`.
#[derive(Debug, Args)]
pub(in crate::cli) struct AddArgs {
    /// The profile that gets it.
    #[arg(add = ArgValueCandidates::new(complete::profiles))]
    profile: String,
    /// Copy the endpoints of this profile.
    #[arg(short, long, value_name = "NAME", add = ArgValueCandidates::new(complete::profiles))]
    from_profile: Option<String>,
    /// Its id. Default: that of the original, else made from the address.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    share: ShareArgs,
    #[command(flatten)]
    edit: EditArgs,
}

/// An endpoint on its way into the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct New {
    /// Names for it, the best first.
    pub(super) ids: Vec<String>,
    /// Its fields without `id`.
    pub(super) fields: Map<String, Value>,
}

/// Parts of an endpoint that belong to its place in a profile.
const PLACE: [&str; 3] = ["weight", "priority", "enabled"];

/// Adds them. A key that was typed is kept first: the file never refers to one that is not there.
pub(super) fn run(args: &AddArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let (edits, keys) = edits(&sheet, args)?;
        let directory = sheet.path().parent().unwrap_or(File::new("."));
        edit::apply_after(&sheet, &edits, &args.edit, || keys::keep(directory, &keys))
    }))
}

/// What is to change, and lines for `.env`.
fn edits(sheet: &Sheet, args: &AddArgs) -> Result<(Vec<Edit>, Vec<Line>), Failure> {
    sheet.has_profile(&args.profile)?;
    let given: Map<String, Value> = args.access.fields().into_iter().chain(args.share.fields()).collect();
    let Answers { mut news, keys } = match &args.from_profile {
        Some(from) => Answers::of(copies(sheet, from)?),
        None if args.access.url.is_some() => Answers::of(vec![New { ids: Vec::new(), fields: Map::new() }]),
        None => wizard::ask(sheet, &args.profile, args.edit.dry_run)?,
    };
    for new in &mut news {
        new.fields.extend(given.clone());
        new.ids.push(id_of(new.fields.get("base_url").and_then(Value::as_str).unwrap_or_default()));
    }
    let target = Target { sheet, profile: &args.profile, id: args.id.as_deref(), given };
    Ok((target.enter(news)?, keys))
}

/// The endpoints of the profile `from`, to be named as there, or `FROM-ID`.
pub(super) fn copies(sheet: &Sheet, from: &str) -> Result<Vec<New>, Failure> {
    sheet.has_profile(from)?;
    let copies: Vec<New> = sheet.endpoints(from).into_iter().map(|original| copy(from, original)).collect();
    if copies.is_empty() {
        return Err(Failure::Refused(format!("the profile `{from}` has no endpoints to copy")));
    }
    Ok(copies)
}

fn copy(from: &str, original: Endpoint) -> New {
    let mut fields = original.fields;
    fields.retain(|key, _| !PLACE.contains(&key.as_str()));
    New { ids: vec![original.id.clone(), format!("{from}-{}", original.id)], fields }
}

/// The profile that gets new endpoints.
struct Target<'a> {
    sheet: &'a Sheet,
    profile: &'a str,
    /// The id that was asked for.
    id: Option<&'a str>,
    /// The fields that were asked for.
    given: Map<String, Value>,
}

impl Target<'_> {
    fn enter(&self, news: Vec<New>) -> Result<Vec<Edit>, Failure> {
        if self.id.is_some() && news.len() > 1 {
            return Err(Failure::CouldNot(format!("--id names one endpoint, and these are {}", news.len())));
        }
        let present = self.sheet.endpoints(self.profile);
        let mut ids: Vec<String> = present.iter().map(|endpoint| endpoint.id.clone()).collect();
        let (mut changed, mut added) = (Vec::new(), Vec::new());
        for new in news {
            match self.twin(&present, &new)? {
                Some(twin) => changed.extend(self.given.iter().flat_map(|(key, value)| updates(twin, key, value))),
                None => added.push(self.add(&mut ids, new)),
            }
        }
        // A shorthand becomes a list with the first addition: what is changed in it comes before.
        Ok(changed.into_iter().chain(added).collect())
    }

    /// The endpoint that is there already.
    fn twin<'p>(&self, present: &'p [Endpoint], new: &New) -> Result<Option<&'p Endpoint>, Failure> {
        let Some(id) = self.id else { return Ok(present.iter().find(|old| old.is_same(&new.fields))) };
        let Some(old) = present.iter().find(|old| old.id == id) else { return Ok(None) };
        if old.is_same(&new.fields) {
            return Ok(Some(old));
        }
        let name = old.name();
        let why = format!("there is another endpoint `{name}` already; `qcc endpoint set {name}` changes it");
        Err(Failure::Refused(why))
    }

    fn add(&self, ids: &mut Vec<String>, new: New) -> Edit {
        let id = self.id.map_or_else(|| free(&new.ids, ids), str::to_owned);
        let fields = std::iter::once(("id".to_owned(), json!(id))).chain(new.fields).collect();
        ids.push(id);
        Edit::AddEndpoint { profile: self.profile.to_owned(), fields, at: None }
    }
}

/// The first of `names` that is not taken; else the last with a number.
fn free(names: &[String], taken: &[String]) -> String {
    let last = names.last().map_or("endpoint", String::as_str);
    let numbered = (2..).map(|number| format!("{last}-{number}"));
    let mut all = names.iter().cloned().chain(numbered);
    all.find(|name| !taken.contains(name)).expect("there are more numbers than ids")
}

/// A name for what is at `url`: its host without what most hosts begin with.
fn id_of(url: &str) -> String {
    let uri: Option<http::Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(http::Uri::host).unwrap_or("endpoint").trim_matches(['[', ']']);
    let host = ["api.", "open.", "www."].iter().find_map(|start| host.strip_prefix(start)).unwrap_or(host);
    host.strip_suffix("anthropic.com").map_or(host, |_| "anthropic").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_from_the_address() {
        for (url, id) in [
            ("https://api.anthropic.com", "anthropic"),
            ("https://open.bigmodel.cn/api/anthropic", "bigmodel.cn"),
            ("http://127.0.0.1:8080", "127.0.0.1"),
            ("not a url", "endpoint"),
        ] {
            assert_eq!(id_of(url), id);
        }
    }

    #[test]
    fn a_taken_name_gives_way() {
        let names = ["work".to_owned(), "team-work".to_owned()];
        let taken = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
        assert_eq!(free(&names, &[]), "work");
        assert_eq!(free(&names, &taken(&["work"])), "team-work");
        assert_eq!(free(&names, &taken(&["work", "team-work", "team-work-2"])), "team-work-3");
    }
}
