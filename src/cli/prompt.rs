//! Asking a person, on the terminal. Questions go to stderr.
//!
//! - Nobody is asked unless somebody is there: [`somebody`].
//! - A key that is typed is not shown, and the terminal is as it was afterwards, also after Ctrl-C.

use std::io::{self, BufRead, IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::edit::Failure;
use crate::config::Secret;
use crate::import::key::literal;

/// The longest key that is read.
const LONGEST: usize = 16 << 10;

/// Whether somebody is there to be asked.
pub(super) fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// An answer without the white space around it. No answer at all is a refusal.
pub(super) fn line(input: &mut impl BufRead, question: &str) -> Result<String, Failure> {
    show(question);
    let mut answer = String::new();
    match input.read_line(&mut answer) {
        Ok(read) if read > 0 => Ok(answer.trim().to_owned()),
        _ => Err(refused()),
    }
}

/// A key, typed without being shown; `None` for return alone. Asks again for what cannot be a key.
pub(super) fn key(input: &mut impl BufRead, question: &str) -> Result<Option<Secret>, Failure> {
    loop {
        show(question);
        let text = {
            let _hidden = Hidden::begin().map_err(|error| Failure::CouldNot(error.to_string()))?;
            typed(input)
        };
        eprintln!();
        match text?.trim() {
            "" => return Ok(None),
            text => match literal(text) {
                Ok(key) => return Ok(Some(key)),
                Err(why) => eprintln!("That cannot be: {why}; once more."),
            },
        }
    }
}

fn show(question: &str) {
    eprint!("{question}");
    // A question that cannot be shown is answered all the same.
    drop(io::stderr().flush());
}

fn refused() -> Failure {
    Failure::Refused("nothing was changed".to_owned())
}

/// Characters up to the end of the line, with what the terminal does for those who mistype.
fn typed(input: &mut impl BufRead) -> Result<Zeroizing<String>, Failure> {
    // Of full size at once: a growing one would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    for byte in input.bytes() {
        match byte.map_err(|_| refused())? {
            b'\r' | b'\n' => return Ok(text),
            0x03 | 0x04 => break,
            0x08 | 0x7f => drop(text.pop()),
            0x15 => text.clear(),
            byte if text.len() < LONGEST => text.push(char::from(byte)),
            _ => break,
        }
    }
    Err(refused())
}

/// The terminal while it shows nothing and leaves every key to us; as before when dropped.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut hidden = before.clone();
        hidden.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        tcsetattr(io::stdin(), OptionalActions::Drain, &hidden)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // There is nothing better to do about a terminal that is gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_mistyped_can_be_taken_back() {
        for (keys, text) in [
            (b"sk-1\r".as_slice(), Some("sk-1")),
            (b"sk-2\x7f1\n", Some("sk-1")),
            (b"wrong\x15sk-1\n", Some("sk-1")),
            (b"\n", Some("")),
            (b"sk-1\x03", None),
            (b"sk-1", None),
        ] {
            assert_eq!(typed(&mut &keys[..]).ok().as_ref().map(|text| text.as_str()), text, "{keys:?}");
        }
    }

    #[test]
    fn no_answer_is_a_refusal() {
        assert_eq!(line(&mut "  yes \n".as_bytes(), "?").ok().as_deref(), Some("yes"));
        assert!(matches!(line(&mut "".as_bytes(), "?"), Err(Failure::Refused(_))));
    }
}
