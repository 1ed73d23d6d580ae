//! `qcc proxy install-service`: has the user's service manager run the proxy, from the login on.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{NOTHING, Site, launchd, systemd};
use crate::cli::stdout::print;

/// What is installed, and where.
#[derive(Debug, Args)]
pub(in crate::cli) struct ServiceArgs {
    /// Print the service's file instead of installing it.
    #[arg(long)]
    print: bool,
    /// Name of the service; another one for another qcc.yaml.
    #[arg(long, default_value = "qcc", value_parser = name)]
    name: String,
    /// Whose service it is. Default: that of the system.
    #[arg(long, value_enum, default_value_t = Manager::here())]
    manager: Manager,
    /// Replace a file of that name that says something else.
    #[arg(long)]
    replace: bool,
}

/// Who runs services.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Manager {
    Systemd,
    Launchd,
}

impl Manager {
    const fn here() -> Self {
        if cfg!(target_os = "macos") { Self::Launchd } else { Self::Systemd }
    }
}

/// What a service consists of.
pub(super) struct Service {
    pub(super) name: String,
    /// This program.
    pub(super) program: String,
    pub(super) config: String,
    /// The directory of the file.
    pub(super) dir: String,
    /// What must be as it is here, for the commands to find it.
    pub(super) environment: Vec<(&'static str, String)>,
}

/// Runs the command.
pub(super) fn run(args: &ServiceArgs, site: &Site) -> Result<ExitCode, String> {
    if site.loaded.config.is_none() {
        eprint!("{}", site.loaded.report(false));
        eprintln!("qcc: not installed: the file is not valid");
        return Ok(ExitCode::from(NOTHING));
    }
    let service = Service::of(args, site)?;
    let (text, path, steps) = match args.manager {
        Manager::Systemd => (systemd::unit(&service), systemd::path(&service.name), systemd::steps(&service)),
        Manager::Launchd => (launchd::plist(&service), launchd::path(&service.name), launchd::steps(&service)),
    };
    let path = path.ok_or("HOME is not set")?;
    if args.print {
        return Ok(print(&text, ExitCode::SUCCESS));
    }
    let could_not = |error: io::Error| format!("`{}` cannot be written: {error}", path.display());
    if !install(&path, &text, args.replace).map_err(could_not)? {
        eprintln!("qcc: `{}` is there and says something else; `--replace` replaces it,", path.display());
        eprintln!("  `--name NAME` installs another service, `--print` shows this one");
        return Ok(ExitCode::from(NOTHING));
    }
    eprintln!("qcc: installed {}\n{steps}", path.display());
    eprintln!("It has none of this shell's variables: keys it needs belong into `{}/.env`.", service.dir);
    Ok(ExitCode::SUCCESS)
}

impl Service {
    fn of(args: &ServiceArgs, site: &Site) -> Result<Self, String> {
        let program = std::env::current_exe().map_err(|error| format!("this program is not known: {error}"))?;
        let dir = site.path.parent().unwrap_or(Path::new("/"));
        let set = |name| Some((name, std::env::var_os(name).filter(|value| !value.is_empty())?));
        let environment = ["QCC_STATE_DIR", "XDG_STATE_HOME"].into_iter().filter_map(set);
        let absolute = |value| std::path::absolute(value).map_err(|error| error.to_string());
        let environment = environment.map(|(name, value)| Ok((name, plain(&absolute(value)?)?)));
        Ok(Self {
            name: args.name.clone(),
            program: plain(&program)?,
            config: plain(&site.path)?,
            dir: plain(dir)?,
            environment: environment.collect::<Result<_, String>>()?,
        })
    }
}

/// A path that can stand in a line.
fn plain(path: &Path) -> Result<String, String> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| format!("`{}` cannot stand in a service's file: rename it", path.display()))
}

fn name(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let fine = text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(fits);
    if fine { Ok(text.to_owned()) } else { Err("use ASCII letters, digits, `-`, `_` and `.`".to_owned()) }
}

/// A directory below the user's own.
pub(super) fn below_home(inside: &str) -> Option<PathBuf> {
    std::env::var_os("HOME").filter(|home| !home.is_empty()).map(|home| PathBuf::from(home).join(inside))
}

/// Whether `path` says `text` now.
fn install(path: &Path, text: &str, replace: bool) -> io::Result<bool> {
    match std::fs::read_to_string(path) {
        Ok(there) if there == text => return Ok(true),
        Ok(_) if !replace => return Ok(false),
        Err(error) if error.kind() != io::ErrorKind::NotFound && !replace => return Err(error),
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(text.as_bytes())?;
    if replace { file.persist(path).map(drop) } else { file.persist_noclobber(path).map(drop) }
        .map_err(|error| error.error)?;
    Ok(true)
}
