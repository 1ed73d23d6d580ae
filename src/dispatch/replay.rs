//! A request body that can be sent any number of times without being copied.
//!
//! The pieces are kept as they came off the wire; every attempt walks the same shared pieces. Replacing a value in place
//! ([`Replay::splice`]) slices around it and leaves every other byte where it is.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A replayable body. Cloning it starts again from the first byte.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    pieces: Arc<[Bytes]>,
    length: u64,
}

impl Replay {
    /// From the pieces in order; empty ones are dropped.
    pub fn new(pieces: Vec<Bytes>) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self { pieces, length }
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The pieces in order.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The same body with the bytes of each range replaced by `with`. Ranges are ascending, disjoint and inside the body.
    #[must_use]
    pub fn splice(&self, ranges: &[Range<u64>], with: &Bytes) -> Self {
        let mut pieces = Vec::with_capacity(self.pieces.len() + 2 * ranges.len());
        let mut from = 0;
        for range in ranges {
            self.slice_into(from..range.start, &mut pieces);
            pieces.push(with.clone());
            from = range.end;
        }
        self.slice_into(from..self.length, &mut pieces);
        Self::new(pieces)
    }

    /// Appends the pieces that make up `range`.
    fn slice_into(&self, range: Range<u64>, into: &mut Vec<Bytes>) {
        let mut start = 0;
        for piece in self.pieces.iter() {
            let end = start + piece.len() as u64;
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                into.push(piece.slice(index(from - start)..index(to - start)));
            }
            start = end;
        }
    }

    /// A fresh walk over the body, to be sent.
    pub fn body(&self) -> ReplayBody {
        ReplayBody { pieces: Arc::clone(&self.pieces), next: 0, left: self.length }
    }
}

/// Offsets inside one piece fit the address space.
fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

/// One sending of a [`Replay`]. A clone made before the first frame sends the whole body again.
#[derive(Clone, Debug)]
pub struct ReplayBody {
    pieces: Arc<[Bytes]>,
    next: usize,
    left: u64,
}

impl Body for ReplayBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.pieces.get(self.next).cloned();
        self.next += 1;
        self.left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use proptest::prelude::*;

    use super::*;

    fn text(replay: &Replay) -> Vec<u8> {
        replay.pieces().concat()
    }

    proptest! {
        #[test]
        fn a_splice_changes_its_ranges_and_nothing_else(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..9), 0..9),
            cuts in proptest::collection::btree_set(0_u64..60, 0..6),
        ) {
            let whole: Vec<u8> = pieces.concat();
            let replay = Replay::new(pieces.into_iter().map(Bytes::from).collect());
            let cuts: Vec<u64> = cuts.into_iter().map(|cut| cut.min(replay.len())).collect();
            let ranges: Vec<Range<u64>> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
            let mut expected = Vec::new();
            let mut from = 0;
            for range in &ranges {
                expected.extend_from_slice(&whole[index(from)..index(range.start)]);
                expected.extend_from_slice(b"NEW");
                from = range.end;
            }
            expected.extend_from_slice(&whole[index(from)..]);
            prop_assert_eq!(text(&replay.splice(&ranges, &Bytes::from_static(b"NEW"))), expected);
        }
    }

    #[tokio::test]
    async fn every_sending_is_the_whole_body_with_its_exact_length() {
        let replay = Replay::new(vec![Bytes::from_static(b"ab"), Bytes::new(), Bytes::from_static(b"cde")]);
        for _ in 0..2 {
            let body = replay.body();
            assert_eq!(body.size_hint().exact(), Some(5));
            assert_eq!(body.collect().await.expect("infallible").to_bytes(), "abcde");
        }
    }
}
