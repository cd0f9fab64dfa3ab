//! The join token: the secret that dispatcher and workers share. Only a key made from it is kept.

use std::{fmt, str::FromStr};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whoever records a handshake can try tokens at leisure, so a token must not be guessable; 16 random letters are not.
const TOKEN_BYTES_MIN: usize = 16;

/// Sets this use of a token apart from any other.
const LABEL: &[u8] = b"fusebox worker link, join token";

/// The key where no token is set: known to all, so it keeps nobody out. [`super::Listener::bind`] and [`super::connect`]
/// allow it on loopback addresses alone.
const OPEN_KEY: [u8; 32] = *b"fusebox worker link, no token!!!";

/// The secret that admits workers to a dispatcher. Never printed.
#[derive(Clone)]
pub struct JoinToken([u8; 32]);

/// The text is no join token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a join token has {TOKEN_BYTES_MIN} characters or more: take random ones, since whoever guesses it may join")]
pub struct BadToken;

impl JoinToken {
    /// The key of the handshake.
    pub(super) fn key(token: Option<&Self>) -> [u8; 32] {
        token.map_or(OPEN_KEY, |token| token.0)
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;

    /// Blanks around it do not count: files end with a newline.
    fn from_str(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.len() < TOKEN_BYTES_MIN {
            return Err(BadToken);
        }
        let mut mac = Hmac::<Sha256>::new_from_slice(text.as_bytes()).map_err(|_| BadToken)?;
        mac.update(LABEL);
        Ok(Self(mac.finalize().into_bytes().into()))
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
    fn the_key_depends_on_every_letter_and_not_on_blanks_around() {
        let key = |text: &str| JoinToken::key(Some(&text.parse().unwrap()));
        assert_eq!(key("0123456789abcdef"), key(" 0123456789abcdef\n"));
        assert_ne!(key("0123456789abcdef"), key("0123456789abcdeg"));
        assert_ne!(key("0123456789abcdef"), JoinToken::key(None));
    }
}
