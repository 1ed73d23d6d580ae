//! `qcc env`: where Claude Code is pointed, as lines for a shell to evaluate; and quoting for shells.
//!
//! No key is printed: the lines ask for it when they are evaluated.

use std::path::{Path as File, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::TargetArgs;
use super::target::{Credential, PLACEHOLDER, Target};
use crate::cli::edit::{self, Sheet};
use crate::cli::stdout;

/// What can be typed after `qcc env`.
#[derive(Debug, Args)]
pub(in crate::cli) struct EnvArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The shell that is to read it. Default: that of `SHELL`, else sh.
    #[arg(long, value_enum)]
    shell: Option<Shell>,
}

/// A way of writing commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// Also bash, zsh, dash.
    Sh,
    /// The friendly interactive shell.
    Fish,
    /// On any system.
    Powershell,
}

/// Prints the lines.
pub(in crate::cli) fn env(args: &EnvArgs, named: Option<&File>) -> ExitCode {
    edit::end(Sheet::open(named).and_then(|sheet| {
        let target = args.target.target(&sheet)?;
        let shell = args.shell.unwrap_or_else(|| Shell::of(std::env::var("SHELL").ok().as_deref()));
        Ok(stdout::print(&lines(&target, shell), ExitCode::SUCCESS))
    }))
}

fn lines(target: &Target, shell: Shell) -> String {
    let (carries, other) = target.variables();
    let address = shell.set("ANTHROPIC_BASE_URL", &shell.quote(&target.base_url));
    let credential = match (&target.credential, target.helper()) {
        (Credential::Own, _) => return address,
        (_, Some(words)) => shell.output_of(&words),
        (_, None) => shell.quote(PLACEHOLDER),
    };
    format!("{address}{}{}", shell.set(carries, &credential), shell.unset(other))
}

impl Shell {
    /// The shell at that path.
    fn of(path: Option<&str>) -> Self {
        match path.and_then(|path| File::new(path).file_stem()?.to_str()) {
            Some("fish") => Self::Fish,
            Some("pwsh" | "powershell") => Self::Powershell,
            _ => Self::Sh,
        }
    }

    fn set(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}={value}\n"),
            Self::Fish => format!("set -gx {name} {value}\n"),
            Self::Powershell => format!("$env:{name} = {value}\n"),
        }
    }

    fn unset(self, name: &str) -> String {
        match self {
            Self::Sh => format!("unset {name}\n"),
            Self::Fish => format!("set -e {name}\n"),
            Self::Powershell => format!("Remove-Item Env:{name} -ErrorAction SilentlyContinue\n"),
        }
    }

    /// What a command prints, as one word.
    fn output_of(self, words: &[String]) -> String {
        let words: Vec<String> = words.iter().map(|word| self.quote(word)).collect();
        match self {
            Self::Sh => format!("\"$({})\"", words.join(" ")),
            Self::Fish => format!("({})", words.join(" ")),
            Self::Powershell => format!("(& {})", words.join(" ")),
        }
    }

    /// `text` as one word, with quotes where it needs them.
    fn quote(self, text: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:".contains(c);
        match self {
            Self::Sh | Self::Fish if !text.is_empty() && text.chars().all(plain) => text.to_owned(),
            Self::Sh => format!("'{}'", text.replace('\'', r"'\''")),
            Self::Fish => format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'")),
            Self::Powershell => format!("'{}'", text.replace('\'', "''")),
        }
    }
}

/// `words` as a command line for `sh`.
pub(super) fn line(words: &[String]) -> String {
    words.iter().map(|word| Shell::Sh.quote(word)).collect::<Vec<_>>().join(" ")
}

/// This program, as others can start it: under the name by which `PATH` knows it, which outlives an upgrade, else where
/// it lies.
pub(super) fn program() -> String {
    let this = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("qcc"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let known = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).map(|folder| folder.join("qcc"));
    let same =
        |file: &PathBuf| file.canonicalize().is_ok_and(|file| this.canonicalize().is_ok_and(|this| file == this));
    known.into_iter().find(same).unwrap_or(this).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_known_by_its_name() {
        for (path, shell) in [
            (Some("/usr/bin/fish"), Shell::Fish),
            (Some("/opt/pwsh"), Shell::Powershell),
            (Some("/bin/zsh"), Shell::Sh),
            (None, Shell::Sh),
        ] {
            assert_eq!(Shell::of(path), shell);
        }
    }

    #[test]
    fn a_word_stays_one_word() {
        for (shell, quoted) in
            [(Shell::Sh, r"'it'\''s $x'"), (Shell::Fish, r"'it\'s $x'"), (Shell::Powershell, "'it''s $x'")]
        {
            assert_eq!(shell.quote("it's $x"), quoted);
        }
        assert_eq!(Shell::Sh.quote("/a/b-c.yaml"), "/a/b-c.yaml");
        assert_eq!(Shell::Sh.quote(""), "''");
    }
}
