//! Asking once before something is taken away.

use std::io::{self, BufRead};

use super::{EditArgs, Failure};
use crate::cli::prompt;

/// Goes on with `--yes`, in a rehearsal, or after a yes to `question` on a terminal.
pub(in crate::cli) fn confirm(question: &str, yes: bool, args: &EditArgs) -> Result<(), Failure> {
    if yes || args.dry_run {
        return Ok(());
    }
    if !prompt::somebody() {
        return Err(Failure::CouldNot(format!("{question} Nobody is here to answer: pass --yes")));
    }
    let agreed = ask(&mut io::stdin().lock(), question);
    if agreed { Ok(()) } else { Err(Failure::Refused("nothing was changed".to_owned())) }
}

/// Whether somebody is there and says yes to `question`.
pub(in crate::cli) fn agrees(question: &str) -> bool {
    prompt::somebody() && ask(&mut io::stdin().lock(), question)
}

/// `[y/N]`: what is taken away needs a yes.
fn ask(input: &mut impl BufRead, question: &str) -> bool {
    let answer = prompt::line(input, &format!("{question} [y/N] ")).unwrap_or_default();
    matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, agreed) in [("y\n", true), ("Yes\n", true), ("\n", false), ("n\n", false), ("", false)] {
            assert_eq!(ask(&mut answer.as_bytes(), "Remove it?"), agreed, "{answer:?}");
        }
    }
}
