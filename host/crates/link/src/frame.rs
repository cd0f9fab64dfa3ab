//! Frames, the units that are sealed and sent: one or more messages, each after its length. Waiting messages share a
//! frame, since each frame costs both sides several thread switches whatever its size. Bytes in, bytes out, no I/O.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

use super::MESSAGE_BYTES_MAX;

/// Size of the length before each message, in bytes.
const LENGTH_BYTES: usize = size_of::<u32>();
/// Size at which a frame takes no further message, in bytes: a larger frame gains nothing.
const GATHERED_BYTES: usize = 64 << 10;
/// Largest frame, in bytes: small messages up to [`GATHERED_BYTES`], and one of the largest.
pub(super) const FRAME_BYTES_MAX: usize = GATHERED_BYTES + LENGTH_BYTES + MESSAGE_BYTES_MAX;

/// Frame to be sent.
#[derive(Default)]
pub(super) struct Frame(BytesMut);

impl Frame {
    /// Returns true if another message may be added.
    pub(super) fn has_room(&self) -> bool {
        self.0.len() < GATHERED_BYTES
    }

    /// Adds a message of at most [`MESSAGE_BYTES_MAX`].
    pub(super) fn add(&mut self, message: &[u8]) {
        self.0.reserve(LENGTH_BYTES + message.len());
        // The sender has checked the length.
        self.0.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
        self.0.put_slice(message);
    }

    /// Returns the bytes and empties the frame.
    pub(super) fn take(&mut self) -> Bytes {
        self.0.split().freeze()
    }
}

/// Received frame.
#[derive(Default)]
pub(super) struct Parts(Bytes);

/// Error of a frame whose lengths do not add up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadFrame;

impl Parts {
    pub(super) const fn new(frame: Bytes) -> Self {
        Self(frame)
    }

    /// Returns the next message; `None` after the last.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, BadFrame> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let length = usize::try_from(self.0.try_get_u32().map_err(|_| BadFrame)?).map_err(|_| BadFrame)?;
        if length > MESSAGE_BYTES_MAX || length > self.0.len() {
            return Err(BadFrame);
        }
        Ok(Some(self.0.split_to(length)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(frame: Bytes) -> Result<Vec<Bytes>, BadFrame> {
        let mut parts = Parts::new(frame);
        std::iter::from_fn(|| parts.next().transpose()).take(10).collect()
    }

    #[test]
    fn messages_come_as_they_were_added() {
        let mut frame = Frame::default();
        for message in [&b"one"[..], b"", b"three"] {
            assert!(frame.has_room());
            frame.add(message);
        }
        assert_eq!(all(frame.take()).unwrap(), [&b"one"[..], b"", b"three"]);
        assert_eq!(all(frame.take()).unwrap(), [] as [Bytes; 0]);
        frame.add(&[7; GATHERED_BYTES]);
        assert!(!frame.has_room());
    }

    #[test]
    fn a_frame_that_is_cut_is_torn() {
        let mut frame = Frame::default();
        frame.add(b"one");
        frame.add(b"two");
        let frame = frame.take();
        let whole = [0, 7, 14];
        for length in (0..frame.len()).filter(|length| !whole.contains(length)) {
            assert_eq!(all(frame.slice(..length)), Err(BadFrame), "{length}");
        }
        assert_eq!(all(Bytes::from_static(&[255; 8])), Err(BadFrame));
    }
}
