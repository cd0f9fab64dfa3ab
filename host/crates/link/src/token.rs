//! The join token: the secret shared by dispatcher and workers. Only keys derived from it are kept.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Shortest token, in bytes. An attacker who records a handshake can try tokens offline, so a token must not be
/// guessable; 16 random letters are not.
const TOKEN_BYTES_MIN: usize = 16;

/// Labels that separate the uses of a token: no derived key reveals another.
const LINK_LABEL: &[u8] = b"fusebox worker link, join token";
const ARTIFACT_LABEL: &[u8] = b"fusebox artifacts, join token";

/// Key without a token: publicly known, so it keeps no one out. [`super::Listener`] and [`super::connect`] allow it on
/// loopback addresses only, and not once the host has a key.
const OPEN_KEY: [u8; 32] = *b"fusebox worker link, no token!!!";

/// Secret that admits workers to a dispatcher. Never printed.
#[derive(Clone)]
pub struct JoinToken {
    link: [u8; 32],
    artifact: [u8; 32],
}

/// Error of a text that is not a join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a join token has at least {TOKEN_BYTES_MIN} characters: use random ones, since anyone who guesses it can join"
)]
pub struct BadToken;

impl JoinToken {
    /// Returns the key of the handshake.
    pub(super) fn key(token: Option<&Self>) -> [u8; 32] {
        token.map_or(OPEN_KEY, |token| token.link)
    }

    /// Returns the key that seals compiled code on its way to a worker. There is none without a token: native code is
    /// accepted only from a peer that proved to know one.
    #[must_use]
    pub fn artifact_key(&self) -> [u8; 32] {
        self.artifact
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;

    /// Parses a token. Surrounding white space is ignored, since files end with a newline.
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.len() < TOKEN_BYTES_MIN {
            return Err(BadToken);
        }
        let key = |label: &[u8]| {
            let mut mac = Hmac::<Sha256>::new_from_slice(text.as_bytes()).map_err(|_| BadToken)?;
            mac.update(label);
            Ok(mac.finalize().into_bytes().into())
        };
        Ok(Self { link: key(LINK_LABEL)?, artifact: key(ARTIFACT_LABEL)? })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JoinToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_tokens_are_refused_and_long_ones_never_printed() {
        for short in ["", "  ", "secret", "               x      "] {
            assert_eq!(short.parse::<JoinToken>().unwrap_err(), BadToken, "{short:?}");
        }
        let token: JoinToken = "correct horse battery staple".parse().unwrap();
        assert_eq!(format!("{token:?}"), "JoinToken(..)");
    }

    #[test]
    fn the_keys_depend_on_every_letter_and_not_on_blanks_around() {
        let token = |text: &str| text.parse::<JoinToken>().unwrap();
        let link = |text: &str| JoinToken::key(Some(&token(text)));
        let artifact = |text: &str| token(text).artifact_key();
        for key in [&link as &dyn Fn(&str) -> [u8; 32], &artifact] {
            assert_eq!(key("0123456789abcdef"), key(" 0123456789abcdef\n"));
            assert_ne!(key("0123456789abcdef"), key("0123456789abcdeg"));
            assert_ne!(key("0123456789abcdef"), JoinToken::key(None));
        }
        assert_ne!(link("0123456789abcdef"), artifact("0123456789abcdef"), "one key must not open what another seals");
    }
}
