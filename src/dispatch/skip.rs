//! Passing over the parts of a JSON text that are not looked at, 64 bytes at a time.
//!
//! For each block one bit per byte says where quotes, backslashes and brackets stand. Arithmetic on those words tells which
//! quotes are escaped and which brackets stand in strings; while a string goes on only its end is looked for.
//!
//! Invariants:
//! - passing over a text in any pieces comes to the same place;
//! - of a text that is not JSON the place is some place: nothing is refused.

use std::ops::ControlFlow::{self, Break, Continue};

use fearless_simd::prelude::*;
use fearless_simd::{Level, Simd, dispatch, u8x64};
use serde::de::IgnoredAny;

/// Bytes that are looked at together.
const BLOCK: usize = 64;
/// Every second byte of a block, from the first.
const EVEN: u64 = u64::MAX / 3;

/// What a block that was passed over is part of.
enum Inside {
    /// One string, as a whole.
    String,
    Mixed,
}

/// Where a text has been read to, as far as it matters for going on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Objects and arrays around it.
    pub(super) depth: u32,
    pub(super) in_string: bool,
    /// The byte after it belongs to an escape.
    pub(super) escaped: bool,
}

impl Place {
    /// Passes over `text` until a bracket or, at that depth itself, a quote ends what is deeper than `floor`. Returns where
    /// to go on: behind that end, or the end of the text.
    pub(super) fn pass(&mut self, text: &[u8], floor: u32) -> usize {
        dispatch!(Level::new(), simd => self.pass_with(simd, text, floor))
    }

    #[expect(clippy::inline_always, reason = "so that it is compiled for what the machine can do")]
    #[inline(always)]
    fn pass_with<S: Simd>(&mut self, simd: S, text: &[u8], floor: u32) -> usize {
        let (blocks, rest) = text.as_chunks();
        let mut passed = 0;
        while let Some(block) = blocks.get(passed) {
            match self.pass_block(simd, block, BLOCK, floor) {
                Break(end) => return passed * BLOCK + end,
                Continue(Inside::Mixed) => passed += 1,
                // Long strings go on: what else is in a text need not be looked for.
                Continue(Inside::String) => passed += 1 + self.pass_in_string(simd, &blocks[passed + 1..]),
            }
        }
        if rest.is_empty() {
            return text.len();
        }
        match self.pass_block(simd, &filled_up(rest), rest.len(), floor) {
            Break(end) => blocks.len() * BLOCK + end,
            Continue(_) => text.len(),
        }
    }

    /// Passes over the blocks that are of the string as a whole; returns how many.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn pass_in_string<S: Simd>(&mut self, simd: S, blocks: &[[u8; BLOCK]]) -> usize {
        let mut first = u64::from(self.escaped);
        let ends = |block: &[u8; BLOCK]| {
            let bytes = u8x64::from_slice(simd, block);
            let (escaped, carried) = escaped(first, places(bytes, b'\\'), BLOCK);
            let ends = places(bytes, b'"') & !escaped != 0;
            if !ends {
                first = carried;
            }
            ends
        };
        let passed = blocks.iter().position(ends).unwrap_or(blocks.len());
        self.escaped = first == 1;
        passed
    }

    /// Passes over the first `length` bytes of `block`, which is blank behind them.
    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn pass_block<S: Simd>(
        &mut self,
        simd: S,
        block: &[u8; BLOCK],
        length: usize,
        floor: u32,
    ) -> ControlFlow<usize, Inside> {
        let bytes = u8x64::from_slice(simd, block);
        let (escaped, carried) = escaped(u64::from(self.escaped), places(bytes, b'\\'), length);
        self.escaped = carried == 1;
        let quotes = places(bytes, b'"') & !escaped;
        if quotes == 0 && self.in_string {
            return Continue(Inside::String);
        }
        if self.depth <= floor {
            return if quotes == 0 { Continue(Inside::Mixed) } else { Break(self.end(quotes)) };
        }
        let strings = from_odd_to_even(quotes) ^ if self.in_string { u64::MAX } else { 0 };
        self.in_string = strings >> (BLOCK - 1) == 1;
        // The square brackets differ from the curly ones in this bit alone.
        let curly = bytes | 0x20;
        let (opening, closing) = (places(curly, b'{') & !strings, places(curly, b'}') & !strings);
        self.pass_brackets(opening, closing, floor).map_or(Continue(Inside::Mixed), Break)
    }

    #[expect(clippy::inline_always, reason = "as above")]
    #[inline(always)]
    fn pass_brackets(&mut self, opening: u64, closing: u64, floor: u32) -> Option<usize> {
        // Mostly too few are closed here to come to the floor, in whatever order.
        if closing.count_ones() < self.depth - floor {
            self.depth = self.depth + opening.count_ones() - closing.count_ones();
            return None;
        }
        let mut left = opening | closing;
        while left != 0 {
            let others = left & (left - 1);
            if opening & (left ^ others) != 0 {
                self.depth += 1;
            } else {
                self.depth -= 1;
                if self.depth <= floor {
                    return Some(self.end(left));
                }
            }
            left = others;
        }
        None
    }

    /// What is passed over ends at the first of these bytes.
    fn end(&mut self, at: u64) -> usize {
        (self.in_string, self.escaped) = (false, false);
        at.trailing_zeros() as usize + 1
    }
}

/// The bytes that are escaped, but for backslashes, among the first `length` of a block with backslashes at these places: those
/// behind an odd number of backslashes. And whether the first byte behind them is: one or zero, as `first` says it of the
/// first of them.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn escaped(first: u64, backslashes: u64, length: usize) -> (u64, u64) {
    let backslashes = backslashes & !first;
    // Mostly none stands beside another.
    if backslashes & (backslashes << 1) == 0 {
        return (first | (backslashes << 1), backslashes >> (length - 1));
    }
    let begins = backslashes & !(backslashes << 1);
    // A run of ones, with one added where it begins, becomes a single one behind it.
    let behind_even = backslashes.wrapping_add(begins & EVEN) & !backslashes;
    let (behind_odd, carried) = backslashes.overflowing_add(begins & !EVEN);
    let escaped = first | (behind_even & !EVEN) | (behind_odd & !backslashes & EVEN);
    (escaped, if length < BLOCK { escaped >> length & 1 } else { u64::from(carried) })
}

/// Whether `text` is one JSON value to its end. Of an object only strings and brackets are looked at.
pub(super) fn is_whole(text: &[u8]) -> bool {
    match text.trim_ascii() {
        [b'{', rest @ ..] => {
            let mut place = Place { depth: 1, ..Place::default() };
            place.pass(rest, 0) == rest.len() && place.depth == 0
        }
        other => serde_json::from_slice::<IgnoredAny>(other).is_ok(),
    }
}

/// A block that begins with `part`, which is shorter, and is blank behind it.
fn filled_up(part: &[u8]) -> [u8; BLOCK] {
    let mut block = [b' '; BLOCK];
    block[..part.len()].copy_from_slice(part);
    block
}

/// Where `byte` stands.
#[expect(clippy::inline_always, reason = "as above")]
#[inline(always)]
fn places<S: Simd>(bytes: u8x64<S>, byte: u8) -> u64 {
    bytes.simd_eq(byte).to_bitmask()
}

/// Ones from every first of two bits to before the second.
fn from_odd_to_even(bits: u64) -> u64 {
    [1, 2, 4, 8, 16, 32].into_iter().fold(bits, |sum, by| sum ^ (sum << by))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Escapes of all kinds for several blocks, and an end.
    const LONG_STRING: &str = r#"(a{0,20}\\["\\n]|[\{\]]|\\\\){0,100}["\}\] ]{0,20}"#;

    /// Byte by byte, as the grammar says it.
    fn slowly(place: &mut Place, text: &[u8], floor: u32) -> usize {
        for (at, byte) in text.iter().enumerate() {
            let escaped = std::mem::take(&mut place.escaped);
            place.escaped = *byte == b'\\' && !escaped;
            let before = place.depth;
            match byte {
                b'"' if !escaped => place.in_string = !place.in_string,
                b'{' | b'[' if !place.in_string => place.depth += 1,
                b'}' | b']' if !place.in_string => place.depth -= 1,
                _ => continue,
            }
            if place.depth <= floor && (before > floor || !place.in_string) {
                place.escaped = false;
                return at + 1;
            }
        }
        text.len()
    }

    #[test]
    fn a_value_that_ends_early_or_late_is_not_whole() {
        for whole in ["{}", " {\"a\": [{}, \"}\\\"\"]}\n", "[1]", "null"] {
            assert!(is_whole(whole.as_bytes()), "{whole}");
        }
        for other in ["", "{", "{\"a\": [{}, \"}\\\"\"]", "{\"a}", "{} {}", "[1", "half"] {
            assert!(!is_whole(other.as_bytes()), "{other}");
        }
    }

    proptest! {
        #[test]
        fn comes_to_where_reading_byte_by_byte_comes(
            text in prop_oneof![r#"[a"\\\{\}\[\] ]{0,200}"#, LONG_STRING], filler in 0_usize..70, cut in 0_usize..270,
            depth in 1_u32..4, in_string in any::<bool>(),
        ) {
            let text = [&vec![b'x'; filler], text.as_bytes()].concat();
            let start = Place { depth, in_string: in_string || depth == 1, escaped: false };
            let (mut place, mut expected) = (start, start);
            let end = slowly(&mut expected, &text, 1);
            let (first, second) = text.split_at(cut.min(text.len()));
            let mut came = place.pass(first, 1);
            if came == first.len() && (place.depth > 1 || place.in_string) {
                came += place.pass(second, 1);
            }
            prop_assert_eq!((came, place), (end, expected));
        }
    }
}
