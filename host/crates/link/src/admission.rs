//! Whom the workers' port lets in: whoever knows one of its join tokens; where it has none, any process of this machine, as
//! long as the host has no key.

use tokio_util::sync::CancellationToken;

use super::{
    JoinToken,
    handshake::{self, NOISE_BYTES, Waiting},
};

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// Each of these lets in: while a token is replaced, the new one and the old one.
    pub tokens: Vec<JoinToken>,
    /// Is cancelled once a worker without a token is not let in any more.
    pub closed: CancellationToken,
}

/// The dispatcher's answer to a worker's first message.
pub(super) struct Answered {
    pub(super) waiting: Waiting,
    pub(super) message: [u8; NOISE_BYTES],
    /// The token that the worker knows.
    pub(super) token: Option<JoinToken>,
}

impl Admission {
    /// Whether nobody is let in, since there is no token to know.
    pub(super) fn needs_token(&self) -> bool {
        self.tokens.is_empty() && self.closed.is_cancelled()
    }

    /// Answers a worker that knows a token, or needs none.
    pub(super) fn answer(&self, version: u16, message: &[u8; NOISE_BYTES]) -> Option<Answered> {
        let own = self.tokens.iter().map(Some);
        let open = (self.tokens.is_empty() && !self.closed.is_cancelled()).then_some(None);
        own.chain(open).find_map(|token| {
            let (waiting, message) = handshake::answer(&JoinToken::key(token), version, message).ok()?;
            Some(Answered { waiting, message, token: token.cloned() })
        })
    }
}
