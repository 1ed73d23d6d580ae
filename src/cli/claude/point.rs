//! `qcc use`: points Claude Code somewhere in its settings, and back.

use std::fs;
use std::io;
use std::path::{Path as File, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::settings;
use super::target::{Credential, Holder, PLACEHOLDER, Target};
use super::{TargetArgs, backup};
use crate::cli::edit::{self, Failure, Sheet};
use crate::cli::{files, stdout};
use crate::patch::{self, Patch};

/// What can be typed after `qcc use`.
#[derive(Debug, Args)]
pub(in crate::cli) struct UseArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Go back to what the settings said before the last `qcc use`. What was changed in them since stays.
    #[arg(long, conflicts_with_all = ["name", "proxy", "client"])]
    undo: bool,
    #[command(flatten)]
    write: WriteArgs,
}

/// What can be typed after `qcc proxy use`.
#[derive(Debug, Args)]
pub(in crate::cli) struct ProxyUseArgs {
    /// Name in `server.clients` to call the proxy as. Default: the only one there is.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    #[command(flatten)]
    write: WriteArgs,
}

/// How the settings are changed.
#[derive(Debug, Args)]
struct WriteArgs {
    /// Print the change, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON document: file, changed, written, diff, backup, base_url, key.
    #[arg(long)]
    json: bool,
}

/// Runs `qcc use`.
pub(in crate::cli) fn point(args: &UseArgs, named: Option<&File>) -> ExitCode {
    edit::end(if args.undo {
        undo(&args.write)
    } else {
        Sheet::open(named).and_then(|sheet| aim(&args.target.target(&sheet)?, &args.write))
    })
}

/// Runs `qcc proxy use`.
pub(in crate::cli) fn point_at_proxy(args: &ProxyUseArgs, named: Option<&File>) -> ExitCode {
    edit::end(
        Sheet::open(named).and_then(|sheet| aim(&Target::proxy(&sheet, None, args.client.as_deref())?, &args.write)),
    )
}

/// The settings before and after.
struct Change {
    path: PathBuf,
    /// `None`: there are no settings yet.
    before: Option<String>,
    after: String,
}

fn aim(target: &Target, args: &WriteArgs) -> Result<ExitCode, Failure> {
    let change = Change::open(|text| settings::point(text, target))?;
    let backup = if change.is_empty() || args.dry_run { None } else { Some(change.write()?) };
    Ok(change.report(args, backup.as_deref(), Some(target)))
}

fn undo(args: &WriteArgs) -> Result<ExitCode, Failure> {
    let path = settings::path()?;
    let failed = |error: io::Error| Failure::CouldNot(error.to_string());
    let nothing = || Failure::Refused(format!("`{}` has no way back: no `qcc use` changed it", path.display()));
    let backup = backup::newest(&path).map_err(failed)?.ok_or_else(nothing)?;
    let previous = settings::read(&backup)?.unwrap_or_default();
    let change = Change::open(|text| settings::restore(text, &previous))?;
    if !args.dry_run {
        change.put()?;
        fs::remove_file(&backup).map_err(failed)?;
    }
    Ok(change.report(args, None, None))
}

impl Change {
    fn open(edit: impl FnOnce(&str) -> Result<String, String>) -> Result<Self, Failure> {
        let path = settings::path()?;
        let before = settings::read(&path)?;
        let after = edit(before.as_deref().unwrap_or_default());
        let after = after.map_err(|why| Failure::Refused(format!("`{}`: {why}", path.display())))?;
        Ok(Self { path, before, after })
    }

    fn is_empty(&self) -> bool {
        self.before.as_deref().unwrap_or_default() == self.after
    }

    fn patch(&self) -> Patch {
        let before = self.before.as_deref().unwrap_or_default();
        Patch { before: before.into(), after: self.after.clone(), diagnostics: Vec::new() }
    }

    /// Keeps what was, and writes what is to be.
    fn write(&self) -> Result<PathBuf, Failure> {
        let failed = |error: io::Error| Failure::CouldNot(format!("`{}`: {error}", self.path.display()));
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let backup = backup::keep(&self.path, self.before.as_deref().unwrap_or_default()).map_err(failed)?;
        self.put().inspect_err(|_| drop(fs::remove_file(&backup)))?;
        Ok(backup)
    }

    /// Where there were no settings, none are left behind.
    fn put(&self) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::CouldNot(format!("`{}`: {error}", self.path.display()));
        match &self.before {
            None if self.after.is_empty() => Ok(()),
            None => files::create(&self.path, &self.after).map_err(failed),
            Some(_) if self.after.is_empty() => fs::remove_file(&self.path).map_err(failed),
            Some(_) => Ok(patch::write(&self.path, &self.patch())?),
        }
    }

    fn report(&self, args: &WriteArgs, backup: Option<&File>, target: Option<&Target>) -> ExitCode {
        let diff = self.patch().diff(&edit::name_in_patch(&self.path), false);
        if args.json {
            let document = json!({
                "file": self.path,
                "changed": !self.is_empty(),
                "written": !self.is_empty() && !args.dry_run,
                "diff": diff,
                "backup": backup,
                "base_url": target.map(|target| &target.base_url),
                "key": target.map(key),
            });
            return stdout::print(&format!("{document:#}\n"), ExitCode::SUCCESS);
        }
        let code = stdout::print(&diff, ExitCode::SUCCESS);
        self.say(args, backup, target);
        code
    }

    fn say(&self, args: &WriteArgs, backup: Option<&File>, target: Option<&Target>) {
        let path = self.path.display();
        match (self.is_empty(), args.dry_run, backup) {
            (true, ..) => eprintln!("Nothing to change: {path} says so already."),
            (_, true, _) => {}
            (.., Some(backup)) => {
                eprintln!("Wrote {path}; what it was is in {}.\n`qcc use --undo` brings it back.", backup.display());
            }
            (.., None) => eprintln!("{path} points where it pointed before."),
        }
        if let Some(target) = target {
            eprintln!("{}", words(target));
            self.warnings(target).iter().for_each(|warning| eprintln!("warning: {warning}"));
        }
    }
}

impl Change {
    /// Why Claude Code may do otherwise all the same.
    fn warnings(&self, target: &Target) -> Vec<String> {
        let hidden = target.hidden().into_iter();
        let hidden = hidden.map(|name| format!("{name} is set here; where Claude Code sees it, it uses that instead"));
        let renames = "the `models` of this endpoint are replaced by the proxy only; Claude Code asks for its own";
        let renames = target.renames.then(|| renames.to_owned());
        hidden.chain(self.overruling()).chain(renames).collect()
    }

    /// Settings of the project at hand that name an address of their own.
    fn overruling(&self) -> impl Iterator<Item = String> {
        let named = |path: &File| settings::read(path).ok().flatten().as_deref().and_then(settings::base_url).is_some();
        let found = ["settings.local.json", "settings.json"].map(|name| File::new(".claude").join(name));
        let own = self.path.canonicalize().ok();
        let found = found.into_iter().filter(move |path| path.canonicalize().ok() != own && named(path));
        found.map(|path| format!("{} sets ANTHROPIC_BASE_URL too, and in this directory it wins", path.display()))
    }
}

impl Target {
    /// Variables of this environment that Claude Code prefers to what is written in the settings.
    fn hidden(&self) -> Vec<&'static str> {
        let names: &[&'static str] = match self.credential {
            Credential::Secret { .. } => &["ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"],
            Credential::Placeholder => &["ANTHROPIC_AUTH_TOKEN"],
            Credential::Own => &[],
        };
        names.iter().copied().filter(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty())).collect()
    }
}

/// Where the key comes from; never the key.
fn key(target: &Target) -> String {
    match &target.credential {
        Credential::Placeholder => PLACEHOLDER.to_owned(),
        Credential::Secret { spec, .. } => spec.to_string(),
        Credential::Own => "its own".to_owned(),
    }
}

/// What Claude Code does from now on, and what is in its settings.
fn words(target: &Target) -> String {
    let url = &target.base_url;
    match &target.credential {
        Credential::Placeholder => {
            format!("Claude Code talks to the proxy at {url} with the word `{PLACEHOLDER}`, which is no key.")
        }
        Credential::Own => format!("Claude Code talks to {url} with its own credential."),
        Credential::Secret { spec, of } => {
            let (who, name) = match of {
                Holder::Endpoint(name) => ("as the endpoint", name),
                Holder::Client(name) => ("as the client", name),
            };
            let (helper, key) = ("`apiKeyHelper` asks qcc for the key", "no key is in the settings");
            format!("Claude Code talks to {url} {who} `{name}`.\n{helper} ({spec}); {key}.")
        }
    }
}
