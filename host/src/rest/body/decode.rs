//! Compressed bodies. Only modules may be compressed. They are decoded up to a module's size limit, so that a small
//! body cannot expand without bound.

use std::io::{self, Read, Write};

use axum::http::{HeaderMap, HeaderValue, header};
use flate2::read::MultiGzDecoder;
use fusebox_core::{
    error::ErrorCode,
    limits::{KIB, MIB},
};
use ruzstd::decoding::StreamingDecoder;

use crate::rest::error::Problem;

/// Largest window of a frame of zstd, which its decoder keeps in memory: that of level 21; level 19 has 8 MiB.
const WINDOW_BYTES_MAX: u64 = 64 * MIB;
/// Memory of a decoder of gzip.
const GZIP_BYTES: u64 = 128 * KIB;
/// Memory of a decoder of zstd beside the window: a block and its tables.
const ZSTD_BYTES: u64 = 512 * KIB;

/// Content codings accepted for modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

/// Reason why a body could not be decoded.
#[derive(Debug)]
pub(super) enum Undecoded {
    TooLarge,
    Malformed(io::Error),
}

impl Coding {
    /// Returns the content coding of a module, `None` if it is not compressed.
    ///
    /// # Errors
    /// `UnsupportedEncoding` for any other coding, or several.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        match named(headers).as_deref() {
            None => Ok(None),
            Some("gzip" | "x-gzip") => Ok(Some(Self::Gzip)),
            Some("zstd") => Ok(Some(Self::Zstd)),
            Some(other) => Err(refused(other, "send modules uncompressed, or as gzip or zstd", "gzip, zstd")),
        }
    }

    /// Returns the memory that decoding a body takes, in bytes. The decoder of zstd returns nothing until it has filled
    /// the frame's window or has read the whole frame.
    pub(super) fn memory_bytes(self, coded: &[u8]) -> u64 {
        match self {
            Self::Gzip => GZIP_BYTES,
            Self::Zstd => window(coded).unwrap_or_default().saturating_add(ZSTD_BYTES),
        }
    }

    /// Decodes a body into `sink`.
    ///
    /// # Errors
    /// Fails if the body is malformed or decodes to more than `bytes_max` bytes, or the sink fails.
    pub(super) fn decode(self, coded: &[u8], bytes_max: u64, sink: &mut impl Write) -> Result<(), Undecoded> {
        match self {
            Self::Gzip => bounded(MultiGzDecoder::new(coded), bytes_max, sink),
            Self::Zstd => {
                match window(coded) {
                    Some(window) if window > bytes_max => return Err(Undecoded::TooLarge),
                    Some(window) if window > WINDOW_BYTES_MAX => {
                        return Err(malformed("its window is larger than 64 MiB: use a level of at most 21"));
                    }
                    _ => {}
                }
                let mut rest = coded;
                let frame = StreamingDecoder::new(&mut rest).map_err(|error| malformed(error.to_string()))?;
                bounded(frame, bytes_max, sink)?;
                if rest.is_empty() { Ok(()) } else { Err(malformed("extra bytes follow the frame")) }
            }
        }
    }
}

/// Refuses a compressed body.
///
/// # Errors
/// `UnsupportedEncoding` if it has a coding.
pub(super) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    named(headers).map_or(Ok(()), |coding| Err(refused(&coding, "send this body uncompressed", "identity")))
}

/// Returns the request's content coding, `None` if it has none or `identity`.
fn named(headers: &HeaderMap) -> Option<String> {
    let mut fields = headers.get_all(header::CONTENT_ENCODING).into_iter().peekable();
    fields.peek()?;
    let fields: Vec<_> = fields.map(|field| String::from_utf8_lossy(field.as_bytes())).collect();
    let coding = fields.join(",").trim().to_ascii_lowercase();
    (!coding.is_empty() && coding != "identity").then_some(coding)
}

fn refused(coding: &str, allowed: &str, accepted: &'static str) -> Problem {
    let detail = format!("the body has the coding {coding:?}: {allowed}");
    // RFC 7694: the response lists the codings that the route accepts.
    Problem::new(ErrorCode::UnsupportedEncoding, detail)
        .with_header(header::ACCEPT_ENCODING, HeaderValue::from_static(accepted))
}

fn malformed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Undecoded {
    Undecoded::Malformed(io::Error::new(io::ErrorKind::InvalidData, error))
}

fn bounded(source: impl Read, bytes_max: u64, sink: &mut impl Write) -> Result<(), Undecoded> {
    let decoded = io::copy(&mut source.take(bytes_max.saturating_add(1)), sink).map_err(Undecoded::Malformed)?;
    if decoded > bytes_max { Err(Undecoded::TooLarge) } else { Ok(()) }
}

/// Returns the window size of a zstd frame (RFC 8878, 3.1.1.1): from its header or, for a single-segment frame, the
/// size of its content.
fn window(coded: &[u8]) -> Option<u64> {
    let descriptor = *coded.get(4)?;
    let is_single_segment = descriptor & 1 << 5 != 0;
    if !is_single_segment {
        let window = *coded.get(5)?;
        let base = 1_u64 << (10 + u32::from(window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let start = 5 + [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let length = 1_usize << (descriptor >> 6);
    let size = coded.get(start..)?.get(..length)?;
    let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(if length == 2 { size + 256 } else { size })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn decode(coding: Coding, coded: &[u8], bytes_max: u64) -> Result<Vec<u8>, Undecoded> {
        let mut decoded = Vec::new();
        coding.decode(coded, bytes_max, &mut decoded).map(|()| decoded)
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        compress_to_vec(bytes, CompressionLevel::Fastest)
    }

    #[test]
    fn a_body_is_decoded_up_to_its_bound_and_no_further() {
        let bytes = vec![7; 1 << 20];
        for (coding, coded) in [(Coding::Gzip, gzip(&bytes)), (Coding::Zstd, zstd(&bytes))] {
            assert!(coded.len() < 16 << 10, "{coding:?} makes it small: {}", coded.len());
            assert_eq!(&decode(coding, &coded, 1 << 20).unwrap()[..], &bytes[..], "{coding:?}");
            assert!(matches!(decode(coding, &coded, (1 << 20) - 1), Err(Undecoded::TooLarge)), "{coding:?}");
        }
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_malformed() {
        for (coding, coded) in [(Coding::Gzip, gzip(b"hello")), (Coding::Zstd, zstd(b"hello"))] {
            for length in 0..coded.len() {
                let cut = decode(coding, &coded[..length], 1 << 20);
                assert!(matches!(cut, Err(Undecoded::Malformed(_))), "{coding:?} {length}: {cut:?}");
            }
            assert!(decode(coding, b"\0asm\x01\0\0\0", 1 << 20).is_err(), "{coding:?}");
            let mut more = coded.clone();
            more.extend_from_slice(b"more");
            assert!(decode(coding, &more, 1 << 20).is_err(), "{coding:?}");
        }
    }

    #[test]
    fn a_window_beyond_the_bound_is_not_filled() {
        const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
        const EMPTY_LAST_BLOCK: [u8; 3] = [1, 0, 0];
        // 64 MiB: as exponent 16, or as the content size of a single segment.
        for header in [&[0, 16 << 3][..], &[0xa0, 0, 0, 0, 4], &[0xe0, 0, 0, 0, 4, 0, 0, 0, 0]] {
            let frame = [&MAGIC, header, &EMPTY_LAST_BLOCK].concat();
            assert_eq!(window(&frame), Some(64 << 20), "{header:?}");
            assert!(matches!(decode(Coding::Zstd, &frame, 16 << 20), Err(Undecoded::TooLarge)));
        }
        assert_eq!(window(&[&MAGIC[..], &[0x60, 0, 1]].concat()), Some(512));
        assert_eq!(window(&[&MAGIC[..], &[0x22, 9, 9, 7]].concat()), Some(7));
        // Frame with a small window whose blocks each repeat one byte 128 Ki times.
        let mut bomb = [&MAGIC[..], &[0, 0]].concat();
        bomb.extend((0..4_096).flat_map(|_| [2, 0, 16, 7]));
        assert!(matches!(decode(Coding::Zstd, &bomb, 1 << 20), Err(Undecoded::TooLarge | Undecoded::Malformed(_))));
    }
}
