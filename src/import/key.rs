//! Keys as other tools have them.

use crate::config::Secret;

/// Where the key of an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// In a variable of the environment.
    Variable(String),
    /// In clear in the tool's file.
    Literal(Secret),
    /// Printed by a shell command.
    Shell(String),
}

impl Key {
    /// The key of a field that names a variable by one of `marks` (`os.environ/NAME`, `$NAME`, `${NAME}`), or is the key.
    pub(super) fn marked(text: &str, marks: &[(&str, &str)]) -> Result<Self, &'static str> {
        let named = |(open, close): &(&str, &str)| text.strip_prefix(*open)?.strip_suffix(*close);
        match marks.iter().find_map(named) {
            Some(name) if is_variable(name) => Ok(Self::Variable(name.to_owned())),
            Some(_) => Err("its key names no variable"),
            None => literal(text).map(Self::Literal),
        }
    }
}

/// A key that a header can carry, and a line of `.env` without quoting.
pub fn literal(text: &str) -> Result<Secret, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"'\"`\\#$".contains(&byte));
    if text.is_empty() {
        return Err("it has no key");
    }
    plain.then(|| Secret::new(text)).ok_or("its key has characters that no key has")
}

/// A shell command that may stand in a file meant for git.
pub fn helper(text: &str) -> Result<String, &'static str> {
    let plain = !text.contains("sk-") && !text.contains(char::is_control);
    plain.then(|| text.to_owned()).ok_or("it seems to contain a key, and qcc.yaml is meant for git")
}

fn is_variable(name: &str) -> bool {
    let word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    word && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_variable_or_the_key() {
        let marks = [("${", "}"), ("$", ""), ("os.environ/", "")];
        for (text, expected) in [
            ("os.environ/A_KEY", Ok(Key::Variable("A_KEY".to_owned()))),
            ("${A}", Ok(Key::Variable("A".to_owned()))),
            ("$A", Ok(Key::Variable("A".to_owned()))),
            ("sk-1", Ok(Key::Literal(Secret::new("sk-1")))),
            ("$", Err("its key names no variable")),
            ("${A-B}", Err("its key names no variable")),
            ("a b", Err("its key has characters that no key has")),
            ("", Err("it has no key")),
        ] {
            assert_eq!(Key::marked(text, &marks), expected, "{text}");
        }
    }
}
