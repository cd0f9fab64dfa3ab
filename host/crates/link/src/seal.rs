//! Seals and opens messages with the keys of an open link: bytes in, bytes out, no I/O.
//!
//! A sealed message is its sealed length followed by its bytes in sealed pieces, each as large as Noise allows except
//! the last. The length announces what must follow, so a message truncated between two pieces is detected. Pieces are
//! numbered from the link's start, and the number is part of each tag but not sent, so dropped, repeated or reordered
//! pieces cannot be opened.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use snow::StatelessTransportState;

use super::frame::FRAME_BYTES_MAX;

/// Number of bytes that sealing adds to a piece.
pub(super) const TAG_BYTES: usize = 16;
/// Largest piece, in bytes: Noise's largest message is 65,535 bytes.
const PIECE_BYTES_MAX: usize = 65_535 - TAG_BYTES;
/// Size of the sealed length, in bytes.
const HEAD_BYTES: usize = size_of::<u32>() + TAG_BYTES;
/// Number of pieces per step: about 1 MiB, which takes about a millisecond, as long as a task may occupy an async
/// thread.
const STEP_PIECES: usize = 16;

/// Error of bytes that the peer did not seal, or that arrived out of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

impl From<snow::Error> for Broken {
    fn from(_: snow::Error) -> Self {
        // The reason why a tag is wrong would help only the attacker.
        Self
    }
}

/// Returns the size of a message of `plain_bytes` bytes once sealed.
pub(super) const fn sealed_bytes(plain_bytes: usize) -> usize {
    HEAD_BYTES + plain_bytes + plain_bytes.div_ceil(PIECE_BYTES_MAX) * TAG_BYTES
}

/// Seals the messages that this side sends.
pub(super) struct Sealer {
    keys: Arc<StatelessTransportState>,
    number: u64,
}

/// Progress of sealing a message into `sealed`.
pub(super) struct Sealing<'a> {
    pieces: std::iter::Zip<std::slice::Chunks<'a, u8>, std::slice::ChunksMut<'a, u8>>,
}

impl Sealer {
    pub(super) fn new(keys: Arc<StatelessTransportState>) -> Self {
        Self { keys, number: 0 }
    }

    /// Seals one piece; `sealed` is [`TAG_BYTES`] longer than `plain`.
    pub(super) fn seal(&mut self, plain: &[u8], sealed: &mut [u8]) -> Result<(), Broken> {
        self.keys.write_message(self.number, plain, sealed)?;
        self.number += 1;
        Ok(())
    }

    /// Starts to seal `plain` into `sealed`, which has the length of [`sealed_bytes`].
    pub(super) fn start<'a>(&mut self, plain: &'a [u8], sealed: &'a mut [u8]) -> Result<Sealing<'a>, Broken> {
        let length = u32::try_from(plain.len()).map_err(|_| Broken)?;
        if sealed.len() != sealed_bytes(plain.len()) {
            return Err(Broken);
        }
        let (head, body) = sealed.split_at_mut(HEAD_BYTES);
        self.seal(&length.to_be_bytes(), head)?;
        Ok(Sealing { pieces: plain.chunks(PIECE_BYTES_MAX).zip(body.chunks_mut(PIECE_BYTES_MAX + TAG_BYTES)) })
    }
}

impl Sealing<'_> {
    /// Seals the next pieces; returns true after the last.
    pub(super) fn step(&mut self, sealer: &mut Sealer) -> Result<bool, Broken> {
        for (plain, sealed) in self.pieces.by_ref().take(STEP_PIECES) {
            sealer.seal(plain, sealed)?;
        }
        Ok(self.pieces.len() == 0)
    }
}

/// Opens the messages that the other side sealed.
pub(super) struct Opener {
    keys: Arc<StatelessTransportState>,
    number: u64,
}

/// Progress of opening a message from `sealed`.
pub(super) struct Opening<S> {
    sealed: S,
    opened_bytes: usize,
    plain: BytesMut,
    plain_bytes: usize,
}

impl Opener {
    pub(super) fn new(keys: Arc<StatelessTransportState>) -> Self {
        Self { keys, number: 0 }
    }

    /// Opens one piece; `plain` is [`TAG_BYTES`] shorter than `sealed`.
    pub(super) fn open(&mut self, sealed: &[u8], plain: &mut [u8]) -> Result<(), Broken> {
        self.keys.read_message(self.number, sealed, plain)?;
        self.number += 1;
        Ok(())
    }

    /// Starts to open `sealed`, a whole message.
    pub(super) fn start<S: AsRef<[u8]>>(&mut self, sealed: S) -> Result<Opening<S>, Broken> {
        let head = sealed.as_ref().get(..HEAD_BYTES).ok_or(Broken)?;
        let mut length = [0; size_of::<u32>()];
        self.open(head, &mut length)?;
        let plain_bytes = usize::try_from(u32::from_be_bytes(length)).map_err(|_| Broken)?;
        if plain_bytes > FRAME_BYTES_MAX || sealed.as_ref().len() != sealed_bytes(plain_bytes) {
            return Err(Broken);
        }
        Ok(Opening { sealed, opened_bytes: HEAD_BYTES, plain: BytesMut::with_capacity(plain_bytes), plain_bytes })
    }
}

impl<S: AsRef<[u8]>> Opening<S> {
    /// Opens the next pieces; returns the message after the last.
    pub(super) fn step(&mut self, opener: &mut Opener) -> Result<Option<Bytes>, Broken> {
        let sealed = self.sealed.as_ref().get(self.opened_bytes..).ok_or(Broken)?;
        for piece in sealed.chunks(PIECE_BYTES_MAX + TAG_BYTES).take(STEP_PIECES) {
            let from = self.plain.len();
            self.plain.resize(from + piece.len().checked_sub(TAG_BYTES).ok_or(Broken)?, 0);
            opener.open(piece, self.plain.get_mut(from..).ok_or(Broken)?)?;
            self.opened_bytes += piece.len();
        }
        let done = self.plain.len() == self.plain_bytes;
        Ok(done.then(|| std::mem::take(&mut self.plain).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::sessions;

    fn seal(sealer: &mut Sealer, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; sealed_bytes(plain.len())];
        let mut sealing = sealer.start(plain, &mut sealed).unwrap();
        while !sealing.step(sealer).unwrap() {}
        sealed
    }

    fn open(opener: &mut Opener, sealed: &[u8]) -> Result<Bytes, Broken> {
        let mut opening = opener.start(sealed)?;
        loop {
            if let Some(plain) = opening.step(opener)? {
                return Ok(plain);
            }
        }
    }

    /// Fills a piece, so that pieces differ.
    fn text(bytes: usize) -> Vec<u8> {
        (0..251).cycle().take(bytes).collect()
    }

    #[test]
    fn messages_of_every_kind_of_length_come_out_as_they_went_in() {
        let (mut worker, mut dispatcher) = sessions();
        let step = PIECE_BYTES_MAX * STEP_PIECES;
        let edges =
            [PIECE_BYTES_MAX, 2 * PIECE_BYTES_MAX, step].into_iter().flat_map(|edge| [edge - 1, edge, edge + 1]);
        for bytes in [0, 1, 2, 100].into_iter().chain(edges) {
            let plain = text(bytes);
            let sealed = seal(&mut worker.sealer, &plain);
            assert_eq!(open(&mut dispatcher.opener, &sealed).unwrap(), plain, "{bytes} bytes to the dispatcher");
            let sealed = seal(&mut dispatcher.sealer, &plain);
            assert_eq!(open(&mut worker.opener, &sealed).unwrap(), plain, "{bytes} bytes to the worker");
        }
    }

    #[test]
    fn each_changed_byte_is_refused() {
        let (mut worker, mut dispatcher) = sessions();
        let sealed = seal(&mut worker.sealer, b"a task");
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut forged = sealed.clone();
                forged[at] ^= 1 << bit;
                let mut opener = Opener { keys: dispatcher.opener.keys.clone(), ..dispatcher.opener };
                assert_eq!(open(&mut opener, &forged), Err(Broken), "bit {bit} of byte {at}");
            }
        }
        assert_eq!(open(&mut dispatcher.opener, &sealed).unwrap(), b"a task".as_slice());
    }

    #[test]
    fn a_message_cut_short_or_made_longer_is_refused() {
        let (mut worker, dispatcher) = sessions();
        let sealed = seal(&mut worker.sealer, &text(2 * PIECE_BYTES_MAX + 5));
        let piece = PIECE_BYTES_MAX + TAG_BYTES;
        let lengths = [0, 1, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + piece, HEAD_BYTES + 2 * piece, sealed.len() - 1];
        for bytes in lengths {
            let mut opener = Opener { keys: dispatcher.opener.keys.clone(), ..dispatcher.opener };
            assert_eq!(open(&mut opener, &sealed[..bytes]), Err(Broken), "cut to {bytes} bytes");
        }
        let mut opener = Opener { keys: dispatcher.opener.keys.clone(), ..dispatcher.opener };
        assert_eq!(open(&mut opener, &[&sealed[..], b"x"].concat()), Err(Broken));
    }

    #[test]
    fn a_dropped_repeated_swapped_or_returned_message_is_refused() {
        let start = || {
            let (mut worker, dispatcher) = sessions();
            let sealed = [b"one", b"two", b"six"].map(|plain| seal(&mut worker.sealer, plain));
            (worker, dispatcher.opener, sealed)
        };
        let (_, mut opener, [one, two, six]) = start();
        open(&mut opener, &one).unwrap();
        assert_eq!(open(&mut opener, &six), Err(Broken), "dropped");
        // A link ends after that; the state itself has not advanced.
        open(&mut opener, &two).unwrap();
        assert_eq!(open(&mut opener, &two), Err(Broken), "repeated");

        let (_, mut opener, [one, two, _]) = start();
        assert_eq!(open(&mut opener, &two), Err(Broken), "swapped");
        assert!(open(&mut opener, &one).is_ok());

        let (mut worker, _, [one, ..]) = start();
        assert_eq!(open(&mut worker.opener, &one), Err(Broken), "sent back to its sender");
    }

    #[test]
    fn pieces_of_a_message_cannot_change_places() {
        let (mut worker, mut dispatcher) = sessions();
        let sealed = seal(&mut worker.sealer, &text(2 * PIECE_BYTES_MAX));
        let (head, body) = sealed.split_at(HEAD_BYTES);
        let (first, second) = body.split_at(PIECE_BYTES_MAX + TAG_BYTES);
        assert_eq!(open(&mut dispatcher.opener, &[head, second, first].concat()), Err(Broken));
    }

    #[test]
    fn a_length_above_the_bound_is_refused_before_anything_is_kept() {
        let (mut worker, mut dispatcher) = sessions();
        let mut head = [0; HEAD_BYTES];
        worker.sealer.seal(&u32::MAX.to_be_bytes(), &mut head).unwrap();
        assert_eq!(open(&mut dispatcher.opener, &head), Err(Broken));
    }
}
