//! Differences in text files between systems: line ends, byte order marks, UTF-16.

const MARK: &[u8] = b"\xef\xbb\xbf";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];

/// Error for text in UTF-16 or UTF-32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is UTF-16, and UTF-8 is expected: save it as UTF-8, or convert it with `iconv -f utf-16 -t utf-8`")]
pub struct Utf16;

/// Strips a UTF-8 byte order mark.
///
/// # Errors
/// [`Utf16`] if the bytes begin with a mark of UTF-16.
pub fn unmarked(bytes: &[u8]) -> Result<&[u8], Utf16> {
    if UTF16_MARKS.iter().any(|mark| bytes.starts_with(mark)) {
        return Err(Utf16);
    }
    Ok(bytes.strip_prefix(MARK).unwrap_or(bytes))
}

/// Strips a UTF-8 byte order mark from JSON.
///
/// # Errors
/// [`Utf16`] even without a mark: one of the first two bytes is then zero, which is not valid in JSON.
pub fn unmarked_json(bytes: &[u8]) -> Result<&[u8], Utf16> {
    match bytes.iter().take(2).any(|byte| *byte == 0) {
        true => Err(Utf16),
        false => unmarked(bytes),
    }
}

/// Strips one final line end, `\n` or `\r\n`.
#[must_use]
pub fn without_line_end(bytes: &[u8]) -> &[u8] {
    let Some(line) = bytes.strip_suffix(b"\n") else { return bytes };
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_taken_away_and_nothing_else() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"a", b"a"),
            (b"a\n", b"a"),
            (b"a\r\n", b"a"),
            (b"a\n\n", b"a\n"),
            (b"a\r\n\r\n", b"a\r\n"),
            (b"a\r", b"a\r"),
            (b"\r\n", b""),
        ];
        for (text, line) in cases {
            assert_eq!(without_line_end(text), line, "{text:?}");
        }
    }

    #[test]
    fn a_mark_is_skipped_and_utf_16_refused() {
        assert_eq!(unmarked(b"\xef\xbb\xbfa"), Ok(&b"a"[..]));
        assert_eq!(unmarked(b"a\xef\xbb\xbf"), Ok(&b"a\xef\xbb\xbf"[..]));
        assert_eq!(unmarked(b"\0a"), Ok(&b"\0a"[..]), "a line may hold any bytes");
        for text in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"\xff\xfe\0\0a\0\0\0"] {
            assert_eq!((unmarked(text), unmarked_json(text)), (Err(Utf16), Err(Utf16)), "{text:?}");
        }
        for text in [&b"{\0"[..], b"\0{", b"\0\0\0["] {
            assert_eq!(unmarked_json(text), Err(Utf16), "{text:?}");
        }
        assert_eq!(unmarked_json(b"\xef\xbb\xbf[]"), Ok(&b"[]"[..]));
    }
}
