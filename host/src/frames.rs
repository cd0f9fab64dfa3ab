//! Frames between this program's own processes: a length in 4 bytes, little-endian, then that many bytes.

use std::io::{self, Read, Write};

/// Writes a frame.
///
/// # Errors
/// Fails if the bytes do not fit into a frame, or with the error of the writer.
pub fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    to.write_all(&length.to_le_bytes())?;
    to.write_all(bytes)
}

/// Reads a frame of at most `bytes_max` bytes. Allocates memory only as bytes arrive.
///
/// # Errors
/// Fails if the frame is larger, or if the other side closes before its end.
pub fn read(from: &mut impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    if length > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame exceeds its limit"));
    }
    let mut bytes = Vec::new();
    match from.take(length).read_to_end(&mut bytes)? as u64 == length {
        true => Ok(bytes),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_whole_or_not_at_all() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"first").unwrap();
        write(&mut bytes, b"").unwrap();
        let mut from = bytes.as_slice();
        assert_eq!((read(&mut from, 5).unwrap(), read(&mut from, 5).unwrap()), (b"first".to_vec(), Vec::new()));
        assert_eq!(read(&mut from, 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(read(&mut bytes.as_slice(), 4).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(read(&mut &bytes[..7], 5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let claim = u32::MAX.to_le_bytes();
        assert!(read(&mut claim.as_slice(), u64::MAX).is_err(), "a claim alone takes no memory");
    }
}
