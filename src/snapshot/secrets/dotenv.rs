//! The `.env` beside `qcc.yaml`: `KEY=value` lines, as a shell would read the simple ones.
//!
//! Understood are `export `, comments, single quotes (taken literally) and double quotes (with `\n \t \" \\ \$`).
//! Nothing is expanded, no value spans lines, and a line that is none of this is skipped: it may be meant for others.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use crate::config::Secret;
use crate::config::units::Size;
use crate::snapshot::read;

/// The largest `.env` that is read.
const CAP: Size = Size::mib(1);

/// The variables of a `.env`, and what is to be said about it.
#[derive(Debug, Default)]
pub(super) struct Dotenv {
    variables: HashMap<String, Secret>,
    /// What is wrong with the file, in words.
    pub(super) warning: Option<String>,
}

impl Dotenv {
    /// Reads the file at `path`; none is an empty one.
    pub(super) fn read(path: &Path) -> Self {
        let bytes = match read::bounded(path, CAP) {
            Ok(bytes) => Zeroizing::new(bytes),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Self::default(),
            Err(error) => {
                let warning = format!("{} cannot be read: {}", path.display(), read::words(&error));
                return Self { warning: Some(warning), ..Self::default() };
            }
        };
        let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
        Self { variables: parse(&text).collect(), warning: exposed(path) }
    }

    /// The value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&Secret> {
        self.variables.get(name)
    }
}

fn exposed(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.mode();
    let warning = || format!("{} can be read by other users; `chmod 600` it", path.display());
    (mode & 0o044 != 0).then(warning)
}

/// The variables of `text`; of several with one name the last one counts, as in a shell.
fn parse(text: &str) -> impl Iterator<Item = (String, Secret)> {
    text.trim_start_matches('\u{feff}').lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=')?;
        named(name.trim()).map(|name| (name, Secret::new(value_of(value.trim()))))
    })
}

fn named(name: &str) -> Option<String> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    (first && rest).then(|| name.to_owned())
}

fn value_of(text: &str) -> String {
    let quoted = match text.chars().next() {
        Some('\'') => text[1..].split_once('\'').map(|(inside, _)| inside.to_owned()),
        Some('"') => unescaped(&text[1..]),
        _ => None,
    };
    quoted.unwrap_or_else(|| uncommented(text).to_owned())
}

/// `text` up to its closing double quote; `None` if there is none.
fn unescaped(text: &str) -> Option<String> {
    let (mut value, mut characters) = (String::with_capacity(text.len()), text.chars());
    loop {
        match characters.next()? {
            '"' => return Some(value),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                plain @ ('"' | '\\' | '$') => value.push(plain),
                other => value.extend(['\\', other]),
            },
            plain => value.push(plain),
        }
    }
}

/// `text` without the comment behind it: a `#` after white space, or at the beginning.
fn uncommented(text: &str) -> &str {
    let comment = |(at, _): &(usize, char)| text[..*at].chars().next_back().is_none_or(char::is_whitespace);
    let end = text.char_indices().filter(|(_, c)| *c == '#').find(comment).map_or(text.len(), |(at, _)| at);
    text[..end].trim_end()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_would() {
        for (line, expected) in [
            ("KEY=sk-1", Some("sk-1")),
            ("  export KEY = sk-1  ", Some("sk-1")),
            ("KEY=sk-1 # the team's", Some("sk-1")),
            ("KEY=sk#1", Some("sk#1")),
            ("KEY=# none", Some("")),
            ("KEY='sk \"$1 # '  # quoted", Some("sk \"$1 # ")),
            (r#"KEY="sk \"1\" \\ \$ \n\q" # quoted"#, Some("sk \"1\" \\ $ \n\\q")),
            ("KEY=\"sk-1", Some("\"sk-1")),
            ("KEY='sk-1", Some("'sk-1")),
            ("KEY=a=b==", Some("a=b==")),
            ("KEY=", Some("")),
            ("KEY=one\r\nKEY=two\r\n", Some("two")),
            ("\u{feff}KEY=sk-1", Some("sk-1")),
            ("#KEY=sk-1", None),
            ("KEY", None),
            ("K-EY=sk-1\n1KEY=sk-1\n=sk-1\n\0\n", None),
        ] {
            let found: HashMap<_, _> = parse(line).collect();
            assert_eq!(found.get("KEY").map(Secret::expose), expected, "{line}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_used_and_warned_about() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join(".env");
        assert!(Dotenv::read(&path).warning.is_none(), "no file, no warning");
        std::fs::write(&path, "KEY=sk-canary").expect("writable");
        for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("ours");
            let dotenv = Dotenv::read(&path);
            assert_eq!(dotenv.get("KEY").map(Secret::expose), Some("sk-canary"));
            assert_eq!(dotenv.warning.is_some(), warned, "{mode:o}");
            assert!(!format!("{dotenv:?}").contains("canary"));
        }
    }

    #[test]
    fn a_directory_in_its_place_is_warned_about() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let dotenv = Dotenv::read(dir.path());
        assert!(dotenv.warning.is_some_and(|warning| warning.ends_with("cannot be read: it is a directory")));
    }
}
