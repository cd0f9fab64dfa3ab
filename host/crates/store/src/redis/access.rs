//! Settings of a connection to Redis beyond its URL: a password from a file, certificates, the credentials of
//! Sentinels, and the prefix that lets several stores share one Redis. Never shows secrets.

use std::{fmt, str::FromStr};

use redis::{ClientTlsConfig, TlsCertificates};

/// Largest length of a prefix, in letters. It is part of each key.
const PREFIX_LETTERS_MAX: usize = 32;
/// First words of the keys of a store without a prefix, so no prefix may equal one.
const TAKEN: [&str; 4] = ["fusebox", "function", "task", "Tasks"];

/// Settings of a connection beyond the URL.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Password if the URL has none, from `--store-password-file`.
    pub password: Option<String>,
    /// Certificate authorities of the servers, in PEM; `None` for those of the system.
    pub ca: Option<Vec<u8>>,
    /// Client certificate and its key, in PEM.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// User for Sentinels.
    pub sentinel_user: Option<String>,
    /// Password for Sentinels.
    pub sentinel_password: Option<String>,
    /// Prefix of every name in Redis.
    pub prefix: Prefix,
}

impl Access {
    /// Returns true if there are settings that only TLS uses.
    pub(super) fn has_tls(&self) -> bool {
        self.ca.is_some() || self.identity.is_some()
    }

    /// Returns the certificates in the form of the client library.
    pub(super) fn certificates(&self) -> TlsCertificates {
        let client_tls = self.identity.clone();
        TlsCertificates {
            client_tls: client_tls.map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key }),
            root_cert: self.ca.clone(),
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

/// First word of every key, channel and library of a store, with a colon; empty by default. The text is never freed,
/// since a process opens one store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix(&'static str);

impl Prefix {
    /// Returns the prefix with its colon.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_letter = |letter: u8| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_');
        if text.is_empty() || text.len() > PREFIX_LETTERS_MAX || !text.bytes().all(is_letter) {
            return Err(format!("a prefix has 1 to {PREFIX_LETTERS_MAX} letters, digits, `-` and `_`"));
        }
        if TAKEN.contains(&text) {
            return Err("keys of stores without a prefix start with this: choose another one".to_owned());
        }
        Ok(Self(format!("{text}:").leak()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_word_that_no_other_key_starts_with() {
        assert_eq!("a-B_9".parse::<Prefix>().unwrap().as_str(), "a-B_9:");
        assert_eq!(Prefix::default().as_str(), "");
        for bad in ["", "a:", "a{b}", "a*", "a b", "ü", "fusebox", "task", "function", "Tasks", &"x".repeat(33)] {
            assert!(bad.parse::<Prefix>().is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_secret_is_shown() {
        let access = Access {
            password: Some("hunter2".to_owned()),
            sentinel_password: Some("hunter3".to_owned()),
            identity: Some((b"hunter4".to_vec(), b"hunter5".to_vec())),
            ..Access::default()
        };
        assert!(!format!("{access:?}").contains("hunter"));
    }
}
