//! The handshake that opens a link: bytes in, bytes out, no I/O. Every message has a fixed size, so a peer's bytes are
//! never used as a length.
//!
//! ```text
//! worker                                                dispatcher
//!   "FBOX", version, Noise message 1 (54 bytes)   ──▶
//!                                                 ◀──   "FBOX", version, verdict (7 bytes); Noise message 2 (48)
//!   an empty sealed message (16 bytes)            ──▶   the link is open
//! ```
//!
//! Noise is `NNpsk0` with a key derived from the join token: both sides prove that they know it, and every link has
//! keys of its own, which the token does not reveal later. The clear parts are in the prologue, so that a changed byte
//! of them fails the handshake. The worker sends the newest version it speaks, or the one that the dispatcher answered
//! last time; see `VERSIONS`. The first two messages can be replayed or forwarded by an attacker; the third cannot, so
//! the dispatcher trusts the worker only after it.

use snow::{Builder, HandshakeState, StatelessTransportState};

use super::seal::{Broken, Opener, Sealer, TAG_BYTES};

const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s";
const MAGIC: [u8; 4] = *b"FBOX";

/// Length of the clear start of the worker's first message, in bytes.
pub(super) const HELLO_HEADER_BYTES: usize = MAGIC.len() + size_of::<u16>();
/// Length of the clear start of the dispatcher's answer, in bytes.
pub(super) const ANSWER_HEADER_BYTES: usize = HELLO_HEADER_BYTES + 1;
/// Length of a Noise message of this pattern, in bytes: an X25519 key and the tag of an empty payload.
pub(super) const NOISE_BYTES: usize = 32 + TAG_BYTES;
/// Length of the worker's last message, in bytes.
pub(super) const CONFIRM_BYTES: usize = TAG_BYTES;

/// Dispatcher's answer to a worker that speaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    Welcome = 0,
    WrongToken = 1,
    WrongVersion = 2,
    TokenNeeded = 3,
}

impl Verdict {
    const ALL: [Self; 4] = [Self::Welcome, Self::WrongToken, Self::WrongVersion, Self::TokenNeeded];
}

/// Keys of an open link, one per direction.
pub(super) struct Session {
    pub(super) sealer: Sealer,
    pub(super) opener: Opener,
}

/// State of a side that waits for the other's next message.
pub(super) struct Waiting(HandshakeState);

pub(super) fn hello_header(version: u16) -> [u8; HELLO_HEADER_BYTES] {
    let [high, low] = version.to_be_bytes();
    let [a, b, c, d] = MAGIC;
    [a, b, c, d, high, low]
}

pub(super) fn answer_header(version: u16, verdict: Verdict) -> [u8; ANSWER_HEADER_BYTES] {
    let [a, b, c, d, high, low] = hello_header(version);
    [a, b, c, d, high, low, verdict as u8]
}

/// Returns the peer's version; `None` if it speaks another protocol.
pub(super) fn version_of(header: &[u8; HELLO_HEADER_BYTES]) -> Option<u16> {
    let [a, b, c, d, high, low] = *header;
    ([a, b, c, d] == MAGIC).then_some(u16::from_be_bytes([high, low]))
}

/// Returns the dispatcher's version and verdict; `None` if it speaks another protocol.
pub(super) fn verdict_of(header: &[u8; ANSWER_HEADER_BYTES]) -> Option<(u16, Verdict)> {
    let [hello @ .., verdict] = *header;
    let verdict = Verdict::ALL.into_iter().find(|known| *known as u8 == verdict)?;
    Some((version_of(&hello)?, verdict))
}

/// Creates the worker's Noise message 1, and the state that reads the answer.
pub(super) fn begin(key: &[u8; 32], version: u16) -> Result<(Waiting, [u8; NOISE_BYTES]), Broken> {
    let mut state = state(key, version, |builder| builder.build_initiator())?;
    let message = write(&mut state)?;
    Ok((Waiting(state), message))
}

/// Creates the dispatcher's Noise message 2, and the state that reads the worker's last message.
pub(super) fn answer(
    key: &[u8; 32],
    version: u16,
    message: &[u8; NOISE_BYTES],
) -> Result<(Waiting, [u8; NOISE_BYTES]), Broken> {
    let mut state = state(key, version, |builder| builder.build_responder())?;
    read(&mut state, message)?;
    let message = write(&mut state)?;
    Ok((Waiting(state), message))
}

impl Waiting {
    /// Finishes the worker's side: reads Noise message 2, creates the last message.
    pub(super) fn confirm(mut self, message: &[u8; NOISE_BYTES]) -> Result<(Session, [u8; CONFIRM_BYTES]), Broken> {
        read(&mut self.0, message)?;
        let mut session = self.session()?;
        let mut confirm = [0; CONFIRM_BYTES];
        session.sealer.seal(&[], &mut confirm)?;
        Ok((session, confirm))
    }

    /// Finishes the dispatcher's side: reads the last message.
    pub(super) fn finish(self, confirm: &[u8; CONFIRM_BYTES]) -> Result<Session, Broken> {
        let mut session = self.session()?;
        session.opener.open(confirm, &mut [])?;
        Ok(session)
    }

    fn session(self) -> Result<Session, Broken> {
        let keys = std::sync::Arc::new(StatelessTransportState::try_from(self.0)?);
        Ok(Session { sealer: Sealer::new(keys.clone()), opener: Opener::new(keys) })
    }
}

fn state(
    key: &[u8; 32],
    version: u16,
    build: impl FnOnce(Builder<'_>) -> Result<HandshakeState, snow::Error>,
) -> Result<HandshakeState, Broken> {
    let prologue = [&hello_header(version)[..], &answer_header(version, Verdict::Welcome)].concat();
    let builder = Builder::new(PATTERN.parse()?).prologue(&prologue)?.psk(0, key)?;
    Ok(build(builder)?)
}

fn write(state: &mut HandshakeState) -> Result<[u8; NOISE_BYTES], Broken> {
    let mut message = [0; NOISE_BYTES];
    if state.write_message(&[], &mut message)? == NOISE_BYTES { Ok(message) } else { Err(Broken) }
}

fn read(state: &mut HandshakeState, message: &[u8; NOISE_BYTES]) -> Result<(), Broken> {
    // As long as the message, since snow may use it as scratch space.
    let mut payload = [0; NOISE_BYTES];
    if state.read_message(message, &mut payload)? == 0 { Ok(()) } else { Err(Broken) }
}

/// Returns both ends of an open link.
#[cfg(test)]
pub(super) fn sessions() -> (Session, Session) {
    let key = [7; 32];
    let (worker, first) = begin(&key, 1).unwrap();
    let (dispatcher, second) = answer(&key, 1, &first).unwrap();
    let (worker, confirm) = worker.confirm(&second).unwrap();
    (worker, dispatcher.finish(&confirm).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_was_put_in() {
        assert_eq!(version_of(&hello_header(258)), Some(258));
        assert_eq!(version_of(b"GET / "), None);
        for verdict in Verdict::ALL {
            assert_eq!(verdict_of(&answer_header(258, verdict)), Some((258, verdict)));
        }
        assert_eq!(verdict_of(b"FBOX\x01\x02\x04"), None);
        assert_eq!(verdict_of(b"HTTP/1."), None);
    }

    #[test]
    fn another_key_or_version_is_refused_at_the_first_message() {
        let (_, first) = begin(&[7; 32], 1).unwrap();
        assert!(answer(&[7; 32], 1, &first).is_ok());
        assert!(answer(&[8; 32], 1, &first).is_err());
        assert!(answer(&[7; 32], 2, &first).is_err());
    }

    #[test]
    fn a_changed_byte_anywhere_ends_the_handshake() {
        let key = [7; 32];
        let flip = |mut message: [u8; NOISE_BYTES], at: usize| {
            message[at] ^= 1;
            message
        };
        for at in 0..NOISE_BYTES {
            let (worker, first) = begin(&key, 1).unwrap();
            assert!(answer(&key, 1, &flip(first, at)).is_err(), "byte {at} of message 1");
            let (_, second) = answer(&key, 1, &first).unwrap();
            assert!(worker.confirm(&flip(second, at)).is_err(), "byte {at} of message 2");
        }
        for at in 0..CONFIRM_BYTES {
            let (worker, first) = begin(&key, 1).unwrap();
            let (dispatcher, second) = answer(&key, 1, &first).unwrap();
            let (_, mut confirm) = worker.confirm(&second).unwrap();
            confirm[at] ^= 1;
            assert!(dispatcher.finish(&confirm).is_err(), "byte {at} of the last message");
        }
    }

    #[test]
    fn a_recorded_handshake_opens_nothing_the_second_time() {
        let key = [7; 32];
        let (worker, first) = begin(&key, 1).unwrap();
        let (dispatcher, second) = answer(&key, 1, &first).unwrap();
        let (_, confirm) = worker.confirm(&second).unwrap();
        assert!(dispatcher.finish(&confirm).is_ok());

        let (dispatcher, _) = answer(&key, 1, &first).unwrap();
        assert!(dispatcher.finish(&confirm).is_err());
    }
}
