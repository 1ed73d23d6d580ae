//! The gate: holds the head of an answer until it is known to be one.
//!
//! Until the first byte has gone to the client, an attempt can be replaced invisibly; the gate uses that. A stream passes
//! at its first `content_block_start`, `message_delta` with a `stop_reason` or `message_stop`, or one second after
//! `message_start`; an error, garbage or an end before that is a failed attempt. Of another answer the first 64 KiB are
//! looked at.
//!
//! Pure: pieces and the time go in, a [`Sight`] comes out; waiting is in `attempt`.

use std::time::Duration;

use super::inspect::Decoder;
use super::sse::Scanner;
use crate::time::Moment;

/// How long after `message_start` a stream without content passes.
const PATIENCE: Duration = Duration::from_secs(1);
/// Events held at most.
const MOST_EVENTS: u32 = 64;
/// Bytes held at most.
const MOST_BYTES: usize = 256 * 1024;
/// Bytes of an answer without events, or of an error, that are looked at.
pub const LOOK: usize = 64 * 1024;

/// What the gate makes of what it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// Not known yet.
    Wait,
    /// An answer: let it through.
    Open,
    /// No answer; `StreamGate::prefix` or `Scanner::seen` say what it is.
    Failed(&'static str),
}

/// Holds the head of one answer.
#[derive(Debug)]
pub struct Gate {
    /// Follows the events; goes on in the relay.
    pub scanner: Scanner,
    /// Sees through compression; goes on in the relay.
    pub decoder: Decoder,
    /// The first clear bytes, for classification.
    pub prefix: Vec<u8>,
    held: usize,
    started: Option<Moment>,
    events: bool,
}

impl Gate {
    /// For a stream of events, or for any other answer.
    pub fn new(decoder: Decoder, events: bool) -> Self {
        Self { scanner: Scanner::default(), decoder, prefix: Vec::new(), held: 0, started: None, events }
    }

    /// Takes the next piece of the answer.
    pub fn feed(&mut self, piece: &[u8], now: Moment) -> Sight {
        self.held += piece.len();
        let (scanner, prefix, events) = (&mut self.scanner, &mut self.prefix, self.events);
        self.decoder.look(piece, |text| {
            if events {
                scanner.feed(text);
            }
            let room = LOOK.saturating_sub(prefix.len());
            prefix.extend_from_slice(&text[..text.len().min(room)]);
        });
        if self.events { self.stream(now) } else { self.whole() }
    }

    /// The answer ended.
    pub fn end(&self) -> Sight {
        let seen = self.scanner.seen();
        match () {
            () if !self.events => Sight::Open,
            () if self.decoder.is_broken() => Sight::Failed("the stream does not decode"),
            () if self.decoder.is_blind() => Sight::Open,
            () if seen.error.is_some() => Sight::Failed("an error event before the answer"),
            () if seen.is_complete() => Sight::Open,
            () => Sight::Failed("the stream ended before the answer"),
        }
    }

    /// When the gate opens by itself, if nothing else comes.
    pub fn opens_at(&self) -> Option<Moment> {
        self.started.map(|started| started.after(PATIENCE))
    }

    fn stream(&mut self, now: Moment) -> Sight {
        let seen = self.scanner.seen();
        if seen.started && self.started.is_none() {
            self.started = Some(now);
        }
        match () {
            () if self.decoder.is_broken() => Sight::Failed("the stream does not decode"),
            () if self.decoder.is_blind() => Sight::Open,
            // Also behind content that came with it: nothing of that has gone down yet.
            () if seen.error.is_some() => Sight::Failed("an error event before the answer"),
            () if seen.content => Sight::Open,
            () if self.opens_at().is_some_and(|opens| now >= opens) => Sight::Open,
            () if seen.all_events < MOST_EVENTS && self.held < MOST_BYTES => Sight::Wait,
            () if seen.started => Sight::Open,
            () => Sight::Failed("no answer among the first events"),
        }
    }

    fn whole(&self) -> Sight {
        let enough = self.prefix.len() >= LOOK || self.held >= MOST_BYTES || self.decoder.is_blind();
        if enough { Sight::Open } else { Sight::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
    const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
    const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n";
    const BLOCK: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\"}\n\n";
    const EMPTY: &str =
        "event: message_delta\ndata: {\"delta\":{\"stop_reason\":\"end_turn\"}}\n\nevent: message_stop\ndata: {}\n\n";

    /// What the gate says after each piece, fed 600 ms apart.
    fn sights(pieces: &[&str]) -> Vec<Sight> {
        let mut gate = Gate::new(Decoder::Identity, true);
        let sights =
            pieces.iter().enumerate().map(|(nth, piece)| gate.feed(piece.as_bytes(), Moment(600 * nth as u64)));
        sights.collect()
    }

    #[test]
    fn opens_at_content_and_not_before() {
        use Sight::{Failed, Open, Wait};
        assert_eq!(sights(&[START, BLOCK]), [Wait, Open]);
        assert_eq!(sights(&[START, EMPTY]), [Wait, Open], "an answer without content is an answer");
        assert_eq!(sights(&[PING, ": comment\n\n", ERROR]), [Wait, Wait, Failed("an error event before the answer")]);
        assert_eq!(sights(&[START, ERROR]), [Wait, Failed("an error event before the answer")]);
        assert_eq!(sights(&[&[START, BLOCK, ERROR].concat()]), [Failed("an error event before the answer")]);
        assert_eq!(sights(&[START, PING, PING]), [Wait, Wait, Open], "one second after message_start");
        assert_eq!(sights(&[PING; 64]).last(), Some(&Failed("no answer among the first events")));
        assert_eq!(sights(&[&"x".repeat(MOST_BYTES)]), [Failed("no answer among the first events")]);
    }

    #[test]
    fn an_end_before_the_answer_is_a_failure_unless_the_answer_is_whole() {
        let end = |pieces: &[&str]| {
            let mut gate = Gate::new(Decoder::Identity, true);
            for piece in pieces {
                gate.feed(piece.as_bytes(), Moment(0));
            }
            gate.end()
        };
        assert_eq!(end(&[]), Sight::Failed("the stream ended before the answer"));
        assert_eq!(end(&[START]), Sight::Failed("the stream ended before the answer"));
        assert_eq!(end(&[START, EMPTY]), Sight::Open);
    }

    #[test]
    fn other_answers_are_looked_at_up_to_a_bound() {
        let mut gate = Gate::new(Decoder::Identity, false);
        assert_eq!(gate.feed(b"{", Moment(0)), Sight::Wait);
        assert_eq!(gate.end(), Sight::Open);
        assert_eq!(gate.feed(&vec![b' '; LOOK], Moment(0)), Sight::Open);
        assert_eq!(gate.prefix.len(), LOOK);
    }
}
