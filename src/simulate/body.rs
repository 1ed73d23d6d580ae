//! Answer bodies that arrive piece by piece, as a model writes.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, Sleep, sleep};

/// Pause before a cut: an error makes the server drop what it has not yet sent.
const BEFORE_CUT: Duration = Duration::from_millis(50);

/// The body of any answer here.
pub(super) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;

/// A body that is known at once.
pub(super) fn whole(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body of pieces, each sent after its wait; `cut` ends it by breaking the connection instead of finishing.
pub(super) fn paced(pieces: impl IntoIterator<Item = (Duration, Bytes)>, cut: bool) -> AnswerBody {
    let pieces: VecDeque<_> = pieces.into_iter().collect();
    let first = pieces.front().map_or(Duration::ZERO, |(wait, _)| *wait);
    Paced { pieces, cut, wait: Box::pin(sleep(first)) }.boxed_unsync()
}

struct Paced {
    pieces: VecDeque<(Duration, Bytes)>,
    cut: bool,
    /// Until the front piece is due.
    wait: Pin<Box<Sleep>>,
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        ready!(self.wait.as_mut().poll(context));
        let Some((_, piece)) = self.pieces.pop_front() else { return Poll::Ready(self.end()) };
        let wait = self.pieces.front().map_or(BEFORE_CUT, |(wait, _)| *wait);
        if self.cut || !self.pieces.is_empty() {
            self.wait.as_mut().reset(Instant::now() + wait);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Paced {
    fn end(&mut self) -> Option<io::Result<Frame<Bytes>>> {
        std::mem::take(&mut self.cut).then(|| Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pieces_come_after_their_waits_and_a_cut_is_an_error() {
        let start = Instant::now();
        let pieces = [(2, "a"), (3, "b")].map(|(s, text)| (Duration::from_secs(s), Bytes::from(text)));
        let mut body = paced(pieces, true);
        for (seconds, text) in [(2, "a"), (5, "b")] {
            let frame = body.frame().await.expect("a piece").expect("no error yet");
            assert_eq!(frame.into_data().ok(), Some(Bytes::from(text)));
            assert_eq!(start.elapsed(), Duration::from_secs(seconds));
        }
        assert!(body.frame().await.expect("the cut").is_err());
        assert!(body.frame().await.is_none());
    }
}
