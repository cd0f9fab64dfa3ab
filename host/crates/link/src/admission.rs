//! Admission at the workers' port: peers that know one of its join tokens. Without tokens, any process of this machine,
//! as long as the host has no key.

use tokio_util::sync::CancellationToken;

use super::{
    JoinToken,
    handshake::{self, NOISE_BYTES, Waiting},
};

/// Rules of admission.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Accepted tokens: while a token is replaced, the new one and the old one.
    pub tokens: Vec<JoinToken>,
    /// Cancelled once workers without a token are no longer admitted.
    pub closed: CancellationToken,
}

/// Dispatcher's answer to a worker's first message.
pub(super) struct Answered {
    pub(super) waiting: Waiting,
    pub(super) message: [u8; NOISE_BYTES],
    /// Token that the worker knows.
    pub(super) token: Option<JoinToken>,
}

impl Admission {
    /// Returns true if no one is admitted, because there is no token and one is needed.
    pub(super) fn needs_token(&self) -> bool {
        self.tokens.is_empty() && self.closed.is_cancelled()
    }

    /// Answers a worker that knows a token, or needs none; `None` refuses it.
    pub(super) fn answer(&self, version: u16, message: &[u8; NOISE_BYTES]) -> Option<Answered> {
        let own = self.tokens.iter().map(Some);
        let open = (self.tokens.is_empty() && !self.closed.is_cancelled()).then_some(None);
        own.chain(open).find_map(|token| {
            let (waiting, message) = handshake::answer(&JoinToken::key(token), version, message).ok()?;
            Some(Answered { waiting, message, token: token.cloned() })
        })
    }
}
