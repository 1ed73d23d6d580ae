//! Words that are made known when they are needed.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::builder::{Resettable, StyledStr};
use clap::{ArgMatches, Args, Command, Error, FromArgMatches, Id, Subcommand};

/// Whether nothing is left for later.
static AT_ONCE: AtomicBool = AtomicBool::new(false);

/// From now on all words are made known at once: completions need those of every command, in the order they were given.
pub(super) fn at_once() {
    AT_ONCE.store(true, Ordering::Relaxed);
}

/// What follows the name of a command. Only the command that was typed is told what may follow: a proxy that starts needs the
/// words of no other.
#[derive(Debug)]
pub(super) struct Later<T>(T);

impl<T> Deref for Later<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: FromArgMatches> FromArgMatches for Later<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches(matches).map(Self)
    }

    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, Error> {
        T::from_arg_matches_mut(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl<T: Args> Args for Later<T> {
    fn group_id() -> Option<Id> {
        T::group_id()
    }

    fn augment_args(command: Command) -> Command {
        later(command, |command| described(command, T::augment_args))
    }

    fn augment_args_for_update(command: Command) -> Command {
        later(command, |command| described(command, T::augment_args_for_update))
    }
}

impl<T: Subcommand> Subcommand for Later<T> {
    fn has_subcommand(name: &str) -> bool {
        T::has_subcommand(name)
    }

    fn augment_subcommands(command: Command) -> Command {
        later(command, |command| described(command, T::augment_subcommands))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        later(command, |command| described(command, T::augment_subcommands_for_update))
    }
}

fn later(command: Command, augment: fn(Command) -> Command) -> Command {
    if AT_ONCE.load(Ordering::Relaxed) { augment(command) } else { command.defer(augment) }
}

/// `command` with what `augment` adds, and what was said of it already: the name of a command is described where it is listed.
fn described(command: Command, augment: fn(Command) -> Command) -> Command {
    let (about, long_about) = (command.get_about().cloned(), command.get_long_about().cloned());
    augment(command).about(resettable(about)).long_about(resettable(long_about))
}

fn resettable(text: Option<StyledStr>) -> Resettable<StyledStr> {
    text.map_or(Resettable::Reset, Resettable::Value)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use crate::cli::args::Args;

    /// What clap itself checks, and that each command is described as where it is listed.
    #[test]
    fn what_is_made_later_is_whole() {
        let listed = Args::command();
        let mut whole = listed.clone();
        whole.build();
        whole.clone().debug_assert();
        for command in listed.get_subcommands() {
            let later = whole.find_subcommand(command.get_name()).expect("it is listed");
            assert_eq!(later.get_about().map(ToString::to_string), command.get_about().map(ToString::to_string));
            assert!(
                later.get_arguments().count() > 1 || later.has_subcommands(),
                "{} knows its words",
                later.get_name()
            );
        }
    }
}
