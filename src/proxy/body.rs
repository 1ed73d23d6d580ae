//! Taking in a request's body: shared pieces as they come, within the limits of one request and of all together.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;

use crate::config::units::Size;
use crate::dispatch::answer::Refusal;
use crate::dispatch::replay::Replay;
use crate::dispatch::silence::{Silence, TooLong};
use crate::limit::{Limit, Share};

/// How long a request waits for room before its body is read.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a refused body is read on, and how long its next piece is waited for.
const LINGER: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));
/// What a body without a length reserves first.
const FIRST: u64 = 64 * 1024;

/// The bounds a body has to keep.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of one body.
    pub body: u64,
    /// Bytes of all bodies together.
    pub all: u64,
    /// Time between two pieces.
    pub idle: Duration,
    /// Bytes of a refused body that are read and thrown away: who is still sending seldom reads the refusal.
    pub discard: u64,
}

/// Reads `body` to its end. The share counts its bytes until it is dropped.
pub async fn collect<B>(mut body: B, bounds: Bounds, buffered: &Limit) -> Result<(Replay, Option<Share>), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let taken = take(&mut body, bounds, buffered).await;
    let refused = taken.as_ref().is_err_and(|refusal| matches!(refusal.status.as_u16(), 413 | 503));
    if refused && body.size_hint().lower() <= bounds.discard {
        drop(tokio::time::timeout(LINGER.0, discard(&mut body, bounds.discard)).await);
    }
    taken
}

async fn discard<B: Body<Data = Bytes> + Unpin>(body: &mut B, most: u64) {
    let mut left = most;
    let mut silence = Silence::new(LINGER.1);
    while let Ok(Some(piece)) = next(body, &mut silence).await {
        let Some(rest) = left.checked_sub(piece.len() as u64) else { return };
        left = rest;
    }
}

async fn take<B>(body: &mut B, bounds: Bounds, buffered: &Limit) -> Result<(Replay, Option<Share>), Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.is_end_stream() {
        return Ok((Replay::default(), None));
    }
    let announced = body.size_hint().exact();
    if announced.is_some_and(|length| length > bounds.body) {
        return Err(too_large(bounds.body));
    }
    let mut share = buffered.take(announced.unwrap_or(FIRST), bounds.all, PATIENCE).await.ok_or_else(full)?;
    let (mut pieces, mut length, mut silence) = (Vec::new(), 0, Silence::new(bounds.idle));
    while let Some(piece) = next(body, &mut silence).await? {
        length += piece.len() as u64;
        make_room(&mut share, length, bounds)?;
        pieces.push(piece);
    }
    Ok((Replay::new(pieces), Some(share)))
}

/// The next piece of data, `None` at the end.
async fn next<B>(body: &mut B, silence: &mut Silence) -> Result<Option<Bytes>, Refusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    loop {
        match silence.until(body.frame()).await.map_err(|TooLong| stalled())? {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::invalid("bad-body", "the request body broke off").and_close()),
            Some(Ok(frame)) => {
                if let Ok(piece) = frame.into_data() {
                    return Ok(Some(piece));
                }
            }
        }
    }
}

/// Doubles the reserved room as a body without a length grows; refused, not waited for, once begun.
fn make_room(share: &mut Share, length: u64, bounds: Bounds) -> Result<(), Refusal> {
    if length > bounds.body {
        return Err(too_large(bounds.body));
    }
    while share.amount() < length {
        let more = share.amount().max(1).min(bounds.body);
        if !share.grow(more, bounds.all) {
            return Err(full());
        }
    }
    Ok(())
}

/// The body took all the time the request may take.
pub fn late() -> Refusal {
    let message = "the request body took longer than a request may (timeouts.request)";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "body-late", message).and_close()
}

fn too_large(limit: u64) -> Refusal {
    let limit = Size(limit);
    let message = format!("the request body is larger than {limit} (server.limits.request_body)");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", "request-too-large", message).and_close()
}

fn full() -> Refusal {
    Refusal::unavailable("buffers-full", "no room for another request body (server.limits.buffered)", 5).and_close()
}

fn stalled() -> Refusal {
    let message = "the request body stalled (server.timeouts.body_idle)";
    Refusal::new(StatusCode::REQUEST_TIMEOUT, "invalid_request_error", "body-stalled", message).and_close()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;
    use http_body_util::Full;

    use super::*;

    const BOUNDS: Bounds = Bounds { body: 1 << 20, all: 1 << 21, idle: Duration::from_secs(30), discard: 1 << 21 };

    /// A body without a length.
    struct Chunked(std::vec::IntoIter<Bytes>);

    impl Body for Chunked {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn chunked(pieces: Vec<Bytes>) -> Chunked {
        Chunked(pieces.into_iter())
    }

    #[tokio::test]
    async fn pieces_are_shared_and_counted_until_the_share_goes() {
        let buffered = Limit::default();
        let piece = Bytes::from(vec![b'x'; 100_000]);
        let (replay, share) = collect(chunked(vec![piece.clone(); 5]), BOUNDS, &buffered).await.expect("within bounds");
        assert_eq!(replay.len(), 500_000);
        assert_eq!(replay.pieces()[0].as_ptr(), piece.as_ptr(), "not a copy");
        assert!((500_000..=1_048_576).contains(&buffered.used()));
        drop(share);
        assert_eq!(buffered.used(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn bounds_are_kept_by_announced_and_by_growing_bodies() {
        let buffered = Limit::default();
        let reason = |result: Result<(Replay, Option<Share>), Refusal>| result.err().map(|refusal| refusal.reason);
        let large = Bytes::from(vec![0; (1 << 20) + 1]);
        assert_eq!(reason(collect(Full::new(large.clone()), BOUNDS, &buffered).await), Some("request-too-large"));
        assert_eq!(reason(collect(chunked(vec![large]), BOUNDS, &buffered).await), Some("request-too-large"));
        let _taken = buffered.try_take(1 << 21, BOUNDS.all).expect("there is room");
        assert_eq!(reason(collect(Full::new(Bytes::from_static(b"x")), BOUNDS, &buffered).await), Some("buffers-full"));
        assert_eq!(buffered.used(), 1 << 21);
    }
}
