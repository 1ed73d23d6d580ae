//! Looking into an answer that may be compressed, on the side: what is relayed stays as it came.

use std::io::Write;

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Most that is decoded of one piece, so that a small one cannot become much memory. What comes behind is not seen.
const MOST: usize = 4 * 1024 * 1024;

/// Largest window of a zstd answer, as a power of two: the 8 MiB that clients have to support (RFC 9659).
const LARGEST_WINDOW: u32 = 23;

/// Decodes an answer piece by piece.
pub enum Decoder {
    /// Not compressed: pieces are looked at where they lie.
    Identity,
    /// `gzip`.
    Gzip(Box<flate2::write::MultiGzDecoder<Sink>>),
    /// `deflate`, which is zlib in practice.
    Deflate(Box<flate2::write::ZlibDecoder<Sink>>),
    /// `br`.
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    /// `zstd`.
    Zstd(Box<zstd::stream::write::Decoder<'static, Sink>>),
    /// An encoding that is not known: nothing can be seen.
    Blind,
    /// Bytes that do not decode, here or at the client.
    Broken,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Identity => "Identity",
            Self::Gzip(_) => "Gzip",
            Self::Deflate(_) => "Deflate",
            Self::Brotli(_) => "Brotli",
            Self::Zstd(_) => "Zstd",
            Self::Blind => "Blind",
            Self::Broken => "Broken",
        })
    }
}

impl Decoder {
    /// The decoder for an answer with these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut encodings = headers.get_all(CONTENT_ENCODING).iter();
        let Some(encoding) = encodings.next() else { return Self::Identity };
        let several = encodings.next().is_some();
        match encoding.as_bytes().trim_ascii().to_ascii_lowercase().as_slice() {
            _ if several => Self::Blind,
            b"identity" | b"" => Self::Identity,
            b"gzip" | b"x-gzip" => Self::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Sink::default()))),
            b"deflate" => Self::Deflate(Box::new(flate2::write::ZlibDecoder::new(Sink::default()))),
            b"br" => Self::Brotli(Box::new(brotli::DecompressorWriter::new(Sink::default(), 4096))),
            b"zstd" => {
                let decoder = zstd::stream::write::Decoder::new(Sink::default())
                    .and_then(|mut decoder| decoder.window_log_max(LARGEST_WINDOW).map(|()| decoder));
                decoder.map_or(Self::Blind, |decoder| Self::Zstd(Box::new(decoder)))
            }
            _ => Self::Blind,
        }
    }

    /// Whether the answer is relayed in clear.
    pub const fn is_identity(&self) -> bool {
        matches!(self, Self::Identity)
    }

    /// Whether nothing of the answer can be seen.
    pub const fn is_blind(&self) -> bool {
        matches!(self, Self::Blind | Self::Broken)
    }

    /// Whether the answer is not what its headers say.
    pub const fn is_broken(&self) -> bool {
        matches!(self, Self::Broken)
    }

    /// Shows the clear text of `piece` to `look`, as far as it can be seen yet.
    pub fn look(&mut self, piece: &[u8], look: impl FnOnce(&[u8])) {
        let (decoded, Sink { text, full }) = match self {
            Self::Identity => return look(piece),
            Self::Blind | Self::Broken => return,
            Self::Gzip(decoder) => (decode(decoder.as_mut(), piece), std::mem::take(decoder.get_mut())),
            Self::Deflate(decoder) => (decode(decoder.as_mut(), piece), std::mem::take(decoder.get_mut())),
            Self::Brotli(decoder) => (decode(decoder.as_mut(), piece), std::mem::take(decoder.get_mut())),
            Self::Zstd(decoder) => (decode(decoder.as_mut(), piece), std::mem::take(decoder.get_mut())),
        };
        match decoded {
            Ok(()) => look(&text),
            // No fault of the endpoint: it was too much for us.
            Err(_) if full => {
                look(&text);
                *self = Self::Blind;
            }
            // Without its zlib frame `deflate` is common, and clients understand it.
            Err(_) if matches!(self, Self::Deflate(_)) => *self = Self::Blind,
            Err(_) => *self = Self::Broken,
        }
    }
}

fn decode(decoder: &mut impl Write, piece: &[u8]) -> std::io::Result<()> {
    decoder.write_all(piece)?;
    decoder.flush()
}

/// Where decoded text is put until it is looked at.
#[derive(Debug, Default)]
pub struct Sink {
    text: Vec<u8>,
    /// There was more.
    full: bool,
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = bytes.len().min(MOST - self.text.len());
        self.text.extend_from_slice(&bytes[..room]);
        self.full = room < bytes.len();
        if self.full { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(room) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes it")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).and_then(|()| encoder.finish()).expect("memory takes it")
    }

    fn brotli(text: &[u8]) -> Vec<u8> {
        let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        encoder.write_all(text).expect("memory takes it");
        encoder.into_inner()
    }

    fn see(encoding: &'static str, bytes: &[u8], cut: usize) -> Vec<u8> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static(encoding))]);
        let (mut decoder, mut seen) = (Decoder::of(&headers), Vec::new());
        bytes.chunks(cut).for_each(|piece| decoder.look(piece, |text| seen.extend_from_slice(text)));
        seen
    }

    #[test]
    fn every_encoding_a_client_accepts_is_seen_through_in_any_pieces() {
        let text = b"event: error\ndata: {}\n\n".repeat(50);
        let zstd = zstd::encode_all(text.as_slice(), 1).expect("memory takes it");
        let all = [
            ("gzip", gzip(&text)),
            ("deflate", zlib(&text)),
            ("br", brotli(&text)),
            ("zstd", zstd),
            ("identity", text.clone()),
        ];
        for (encoding, bytes) in all {
            for cut in [1, 7, usize::MAX] {
                assert_eq!(see(encoding, &bytes, cut), text, "{encoding} in pieces of {cut}");
            }
        }
    }

    #[test]
    fn deflate_without_its_frame_is_not_held_against_an_endpoint() {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        let raw = encoder.write_all(b"data: {}").and_then(|()| encoder.finish()).expect("memory takes it");
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static("deflate"))]);
        let mut decoder = Decoder::of(&headers);
        decoder.look(&raw, |_| panic!("nothing can be seen"));
        assert!(decoder.is_blind() && !decoder.is_broken());
    }

    #[test]
    fn what_cannot_be_decoded_is_not_seen_and_does_no_harm() {
        assert!(see("gzip", b"plain text", 3).is_empty());
        assert!(see("snappy", b"plain text", 3).is_empty());
    }

    #[test]
    fn what_is_too_much_for_one_piece_is_seen_in_part_and_held_against_nobody() {
        let text = vec![b'x'; 64 * 1024 * 1024];
        let zstd = zstd::encode_all(text.as_slice(), 1).expect("memory takes it");
        for (encoding, bomb) in [("gzip", gzip(&text)), ("deflate", zlib(&text)), ("br", brotli(&text)), ("zstd", zstd)]
        {
            let headers = HeaderMap::from_iter([(CONTENT_ENCODING, http::HeaderValue::from_static(encoding))]);
            let (mut decoder, mut seen) = (Decoder::of(&headers), 0);
            decoder.look(&bomb, |text| seen += text.len());
            assert!(seen == MOST && decoder.is_blind() && !decoder.is_broken(), "{encoding}: {seen}");
            decoder.look(&bomb, |_| panic!("nothing more is seen"));
        }
    }
}
