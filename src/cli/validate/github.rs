//! Workflow commands of GitHub Actions: each diagnostic becomes an annotation of the pull request.
//!
//! Format: <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>; the escapes are those of the
//! runner's own toolkit.

use crate::config::{Diagnostic, Loaded};

pub(super) fn render(loaded: &[Loaded]) -> String {
    loaded.iter().flat_map(|loaded| loaded.diagnostics.iter().map(|diagnostic| line(loaded, diagnostic))).collect()
}

fn line(loaded: &Loaded, diagnostic: &Diagnostic) -> String {
    let Diagnostic { severity, code, message, help, line, column, .. } = diagnostic;
    let file = property(&loaded.path.display().to_string());
    let message = match help {
        Some(help) => data(&format!("{message}\n{help}")),
        None => data(message),
    };
    format!("::{} file={file},line={line},col={column},title={}::{message}\n", severity.as_str(), property(code))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn nothing_of_a_message_ends_the_command_early() {
        let loaded = crate::config::load_bytes(Path::new("a,b:c.yaml"), b"version: 1\n\"100%\\n::error\": 1\n");
        let commands = render(&[loaded]);
        assert_eq!(commands.lines().filter(|line| line.starts_with("::")).count(), commands.lines().count());
        let start = "::error file=a%2Cb%3Ac.yaml,line=2,col=1,title=unknown-key::`100%25%0A::error` is not a key of this file%0A";
        assert!(commands.lines().any(|line| line.starts_with(start)), "{commands}");
    }
}
