//! A peer of version 3 of the workers' protocol, as implemented by that release: it sends the lines of that version's
//! golden file, with current ids in place of the recorded ones. It shares no code with the host.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    time::Duration,
};

use snow::{Builder, HandshakeState, StatelessTransportState};

/// Encoding of each message of the version: 16 of workers, followed by those of dispatchers.
const GOLDEN: &str = include_str!("../../../host/crates/core/tests/golden/wire-3.txt");
/// Size of the attempt in the golden file: task, number and lease token.
const HELD: usize = 34;
/// Size of task and number alone.
const ID: usize = 18;
/// Key of links without a token.
const OPEN_KEY: [u8; 32] = *b"fusebox worker link, no token!!!";
/// First bytes sent by nng on every link: protocol PAIR0.
const NNG: &[u8] = b"\0SP\0\0\x10\0\0";
const TAG: usize = 16;
/// Maximum size of a sealed piece.
const PIECE: usize = 65_535;
/// Maximum wait, longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns a line of the golden file.
pub(super) fn golden(line: usize) -> Vec<u8> {
    hex::decode(GOLDEN.lines().nth(line).unwrap()).unwrap()
}

/// Returns the attempt in the golden lines.
pub(super) fn golden_held() -> Vec<u8> {
    golden(18)[3..3 + HELD].to_vec()
}

/// Returns the attempt in an assignment; `None` for other messages.
pub(super) fn held_of(message: &[u8]) -> Option<Vec<u8>> {
    match message {
        [1, 2, 1, held @ ..] | [1, 9, held @ ..] => held.get(..HELD).map(<[u8]>::to_vec),
        _ => None,
    }
}

/// Returns a line for another attempt than the recorded one.
pub(super) fn about(line: usize, held: &[u8]) -> Vec<u8> {
    let with_token = replaced(&golden(line), &golden_held(), held);
    replaced(&with_token, &golden_held()[..ID], &held[..ID])
}

/// Replaces all occurrences of recorded bytes.
pub(super) fn replaced(message: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < message.len() {
        match message[at..].starts_with(from) {
            true => {
                out.extend(to);
                at += from.len();
            }
            false => {
                out.push(message[at]);
                at += 1;
            }
        }
    }
    out
}

/// Encodes a number in postcard's format.
pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 128 {
        bytes.push(u8::try_from(number % 128).unwrap() | 128);
        number /= 128;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

/// An open link.
pub(super) struct Link {
    stream: TcpStream,
    keys: StatelessTransportState,
    sealed: u64,
    opened: u64,
    messages: VecDeque<Vec<u8>>,
}

impl Link {
    /// Joins a dispatcher like a worker of version 3.
    pub(super) fn join(address: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut state = handshake().build_initiator().unwrap();
        stream.write_all(&[b"FBOX\0\x03", &written(&mut state)[..]].concat()).unwrap();
        let mut answer = [0; 7 + 48];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer[..7], b"FBOX\0\x03\0", "it is welcome, in its own version");
        state.read_message(&answer[7..], &mut [0; 48]).unwrap();
        let keys = state.into_stateless_transport_mode().unwrap();
        let mut confirm = [0; TAG];
        keys.write_message(0, &[], &mut confirm).unwrap();
        stream.write_all(&confirm).unwrap();
        Self::open(stream, keys, 1, 0)
    }

    /// Accepts a worker like a dispatcher of version 3: a worker of another version is rejected and disconnected.
    pub(super) fn let_in(listener: &TcpListener) -> Self {
        loop {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut hello = [0; 6];
            stream.read_exact(&mut hello).unwrap();
            if hello != *b"FBOX\0\x03" {
                stream.write_all(b"FBOX\0\x03\x02").unwrap();
                stream.shutdown(Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
                continue;
            }
            let mut message = [0; 48];
            stream.read_exact(&mut message).unwrap();
            let mut state = handshake().build_responder().unwrap();
            state.read_message(&message, &mut [0; 48]).unwrap();
            stream.write_all(&[b"FBOX\0\x03\0", &written(&mut state)[..]].concat()).unwrap();
            let keys = state.into_stateless_transport_mode().unwrap();
            let mut confirm = [0; TAG];
            stream.read_exact(&mut confirm).unwrap();
            keys.read_message(0, &confirm, &mut []).unwrap();
            return Self::open(stream, keys, 0, 1);
        }
    }

    fn open(mut stream: TcpStream, keys: StatelessTransportState, sealed: u64, opened: u64) -> Self {
        stream.write_all(NNG).unwrap();
        let mut theirs = [0; 8];
        stream.read_exact(&mut theirs).unwrap();
        assert_eq!(theirs, NNG);
        Self { stream, keys, sealed, opened, messages: VecDeque::new() }
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: &[u8]) {
        let frame = [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], message].concat();
        let mut sealed = self.seal(&u32::try_from(frame.len()).unwrap().to_be_bytes());
        for piece in frame.chunks(PIECE - TAG) {
            sealed.extend(self.seal(piece));
        }
        let length = (sealed.len() as u64).to_be_bytes();
        self.stream.write_all(&[&length[..], &sealed].concat()).unwrap();
    }

    /// Returns the next message; `None` at the end of the link.
    pub(super) fn receive(&mut self) -> Option<Vec<u8>> {
        while self.messages.is_empty() {
            let mut length = [0; 8];
            self.stream.read_exact(&mut length).ok()?;
            let mut sealed = vec![0; usize::try_from(u64::from_be_bytes(length)).unwrap()];
            self.stream.read_exact(&mut sealed).ok()?;
            let (head, body) = sealed.split_at(4 + TAG);
            self.open_piece(head);
            let frame: Vec<u8> = body.chunks(PIECE).flat_map(|piece| self.open_piece(piece)).collect();
            let mut rest = &frame[..];
            while let Some((length, behind)) = rest.split_first_chunk() {
                let (message, behind) = behind.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
                self.messages.push_back(message.to_vec());
                rest = behind;
            }
        }
        self.messages.pop_front()
    }

    fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut sealed = vec![0; plain.len() + TAG];
        self.keys.write_message(self.sealed, plain, &mut sealed).unwrap();
        self.sealed += 1;
        sealed
    }

    fn open_piece(&mut self, sealed: &[u8]) -> Vec<u8> {
        let mut plain = vec![0; sealed.len() - TAG];
        self.keys.read_message(self.opened, sealed, &mut plain).unwrap();
        self.opened += 1;
        plain
    }
}

fn handshake() -> Builder<'static> {
    let builder = Builder::new("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2s".parse().unwrap());
    builder.prologue(b"FBOX\0\x03FBOX\0\x03\0").unwrap().psk(0, &OPEN_KEY).unwrap()
}

fn written(state: &mut HandshakeState) -> [u8; 48] {
    let mut message = [0; 48];
    assert_eq!(state.write_message(&[], &mut message).unwrap(), 48);
    message
}
