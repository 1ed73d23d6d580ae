//! Asking once before something is taken away.

use std::io::{self, BufRead, IsTerminal as _, Write as _};

use super::{EditArgs, Failure};

/// Goes on with `--yes`, in a rehearsal, or after a yes to `question` on a terminal.
pub(in crate::cli) fn confirm(question: &str, yes: bool, args: &EditArgs) -> Result<(), Failure> {
    if yes || args.dry_run {
        return Ok(());
    }
    if !somebody_is_here() {
        return Err(Failure::CouldNot(format!("{question} Nobody is here to answer: pass --yes")));
    }
    let agreed = ask(&mut io::stdin().lock(), question);
    if agreed { Ok(()) } else { Err(Failure::Refused("nothing was changed".to_owned())) }
}

/// Whether somebody is there and says yes to `question`.
pub(in crate::cli) fn agrees(question: &str) -> bool {
    somebody_is_here() && ask(&mut io::stdin().lock(), question)
}

fn somebody_is_here() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// `[y/N]`: what is taken away needs a yes.
fn ask(input: &mut impl BufRead, question: &str) -> bool {
    eprint!("{question} [y/N] ");
    // A prompt that cannot be shown is answered all the same.
    drop(io::stderr().flush());
    let mut answer = String::new();
    let read = input.read_line(&mut answer).unwrap_or(0);
    read > 0 && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
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
