//! Frames between this program's own processes: a length in 4 bytes, little-endian, then that many bytes.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes, BytesMut};

/// Size of a frame's length.
const LENGTH_BYTES: usize = 4;

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
    let mut length = [0; LENGTH_BYTES];
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

/// Removes the first frame of what has arrived; `None` until it is whole.
///
/// # Errors
/// Fails if it has more than `bytes_max` bytes.
pub fn take(arrived: &mut BytesMut, bytes_max: u64) -> io::Result<Option<Bytes>> {
    let Some(length) = arrived.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
    let length = u32::from_le_bytes(*length);
    if u64::from(length) > bytes_max {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame exceeds its limit"));
    }
    let length = usize::try_from(length).map_err(io::Error::other)?;
    if arrived.len() < LENGTH_BYTES + length {
        return Ok(None);
    }
    arrived.advance(LENGTH_BYTES);
    Ok(Some(arrived.split_to(length).freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_taken_once_it_is_whole() {
        let mut bytes = Vec::new();
        write(&mut bytes, b"first").unwrap();
        write(&mut bytes, b"").unwrap();
        let mut arrived = BytesMut::new();
        for byte in &bytes[..8] {
            arrived.extend_from_slice(&[*byte]);
            assert_eq!(take(&mut arrived, 5).unwrap(), None);
        }
        arrived.extend_from_slice(&bytes[8..]);
        assert_eq!(take(&mut arrived, 5).unwrap().unwrap(), "first");
        assert_eq!(take(&mut arrived, 5).unwrap().unwrap(), "");
        assert_eq!(take(&mut arrived, 5).unwrap(), None);
        let mut claim = BytesMut::from(&6_u32.to_le_bytes()[..]);
        assert_eq!(take(&mut claim, 5).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

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
