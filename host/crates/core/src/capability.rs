//! What a guest may ask the host for beyond its own run: the calls, the answers, and the reasons for a refusal.
//!
//! The same types go from a sandbox to the store of its process, over the link of a worker to its dispatcher, and from a
//! jailed process to its parent. What cannot be asked for cannot be said: keys, values and names are checked where they
//! are made, and that includes where they are decoded.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::limits::{
    HTTP_REQUEST_BYTES_MAX, KV_KEY_BYTES_MAX, KV_TTL_MS_MAX, KV_VALUE_BYTES_MAX, SETTING_NAME_CHARS_MAX,
};

mod grants;
mod host_pattern;
pub mod ports;

pub use grants::{Capability, Grant, GrantError, Grants, Hosts};
pub use host_pattern::{HostPattern, HostPatternError};

/// What a guest asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// A configuration value of the function.
    Config(SettingName),
    /// A secret of the function.
    Secret(SettingName),
    /// A value of the function's own key-value namespace.
    KvGet(KvKey),
    /// Sets a value of that namespace.
    KvSet {
        /// Where.
        key: KvKey,
        /// To what.
        value: KvValue,
        /// For how long; for ever where there is none.
        ttl: Option<Ttl>,
        /// Only where this is there now.
        expects: Expects,
    },
    /// Removes a value of that namespace.
    KvDelete {
        /// Where.
        key: KvKey,
        /// Only where this is there now.
        expects: Expects,
    },
    /// An HTTP request to another host: `METHOD URL\n`, header lines `name: value\n`, `\n`, the body.
    Http(HttpRequest),
}

impl Call {
    /// What it takes to be allowed to ask.
    #[must_use]
    pub const fn capability(&self) -> Capability {
        match self {
            Self::Config(_) => Capability::Config,
            Self::Secret(_) => Capability::Secrets,
            Self::KvGet(_) | Self::KvSet { .. } | Self::KvDelete { .. } => Capability::Kv,
            Self::Http(_) => Capability::Http,
        }
    }
}

/// What the host gives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Of [`Call::Config`]: the value.
    Config(Bytes),
    /// Of [`Call::Secret`]: the value.
    Secret(Redacted),
    /// Of [`Call::KvGet`]: the value and its revision.
    Value {
        /// Changes with each set, and is never used again in this namespace.
        revision: Revision,
        /// The value.
        value: Bytes,
    },
    /// Of [`Call::KvSet`]: the new revision.
    Set(Revision),
    /// Of [`Call::KvDelete`]: whether there was something to remove.
    Deleted(bool),
    /// Of [`Call::Http`]: `STATUS\n`, header lines, `\n`, the body.
    Http(Bytes),
}

/// Why the host gives nothing. The number is what the guest sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no such value")]
    Absent,
    /// What is there is not what was expected.
    #[error("the value is another one than expected")]
    Conflict,
    /// A key, a value, a request or an answer above its bound.
    #[error("it is too large")]
    TooLarge,
    /// The namespace or the tenant has as much as it may have.
    #[error("the quota is used up")]
    Quota,
    /// Not granted, or an address that nobody may reach.
    #[error("it is not allowed")]
    Refused,
    /// It cannot be had now: try again.
    #[error("it is not available now")]
    Unavailable,
    /// There was no answer in time.
    #[error("there was no answer in time")]
    TimedOut,
    /// The question makes no sense.
    #[error("the call is not valid")]
    Invalid,
}

impl Refusal {
    /// What the guest's import returns.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Absent => -1,
            Self::Conflict => -2,
            Self::TooLarge => -3,
            Self::Quota => -4,
            Self::Refused => -5,
            Self::Unavailable => -6,
            Self::TimedOut => -7,
            Self::Invalid => -8,
        }
    }
}

/// The revision of a value: 1 or more.
pub type Revision = u64;

/// What must be there for a change to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expects {
    /// Whatever.
    Anything,
    /// Nothing.
    Nothing,
    /// The value of this revision.
    Revision(Revision),
}

impl Expects {
    /// As a guest says it: -1, 0, or the revision.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] for any other negative number.
    pub fn from_guest(number: i64) -> Result<Self, Refusal> {
        match number {
            -1 => Ok(Self::Anything),
            0 => Ok(Self::Nothing),
            _ => u64::try_from(number).map(Self::Revision).map_err(|_| Refusal::Invalid),
        }
    }

    /// Whether a change may happen where a value of this revision is, or none.
    #[must_use]
    pub fn is_met(self, found: Option<Revision>) -> bool {
        match self {
            Self::Anything => true,
            Self::Nothing => found.is_none(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

macro_rules! bounded_bytes {
    ($(#[$doc:meta])* $name:ident, may_be_empty: $may_be_empty:literal, $most:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "Bytes", into = "Bytes")]
        pub struct $name(Bytes);

        impl $name {
            /// The most bytes of one.
            pub const BYTES_MAX: usize = $most;

            /// Whether so many bytes can be one.
            ///
            /// # Errors
            /// [`Refusal::Invalid`] for none where there must be some, [`Refusal::TooLarge`] for too many.
            pub const fn check(bytes: usize) -> Result<(), Refusal> {
                match bytes {
                    0 if !$may_be_empty => Err(Refusal::Invalid),
                    len if len > $most => Err(Refusal::TooLarge),
                    _ => Ok(()),
                }
            }

            /// The bytes.
            #[must_use]
            pub fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl TryFrom<Bytes> for $name {
            type Error = Refusal;
            fn try_from(bytes: Bytes) -> Result<Self, Refusal> {
                Self::check(bytes.len()).map(|()| Self(bytes))
            }
        }

        impl From<$name> for Bytes {
            fn from(checked: $name) -> Self {
                checked.0
            }
        }
    };
}

bounded_bytes!(
    /// A key of a namespace: at least one byte, any bytes.
    KvKey, may_be_empty: false, KV_KEY_BYTES_MAX
);
bounded_bytes!(
    /// A value of a namespace: any bytes.
    KvValue, may_be_empty: true, KV_VALUE_BYTES_MAX
);
bounded_bytes!(
    /// An HTTP request, not yet looked at.
    HttpRequest, may_be_empty: false, HTTP_REQUEST_BYTES_MAX
);

/// How long a value stays, in milliseconds: at least one, at most [`KV_TTL_MS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// The milliseconds.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Ttl {
    type Error = Refusal;
    fn try_from(ms: u64) -> Result<Self, Refusal> {
        if (1..=KV_TTL_MS_MAX).contains(&ms) { Ok(Self(ms)) } else { Err(Refusal::Invalid) }
    }
}

impl From<Ttl> for u64 {
    fn from(ttl: Ttl) -> Self {
        ttl.0
    }
}

/// The name of a configuration value or a secret: 1 to 128 of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SettingName(String);

/// Why a text is no name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("such a name has 1 to {SETTING_NAME_CHARS_MAX} of A-Z, a-z, 0-9, -, _ and .")]
pub struct SettingNameError;

impl SettingName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SettingName {
    type Err = SettingNameError;
    fn from_str(text: &str) -> Result<Self, SettingNameError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let fits = (1..=SETTING_NAME_CHARS_MAX).contains(&text.len());
        // Paths with only dots in a segment are changed by what passes requests on.
        let is_dots = text.bytes().all(|byte| byte == b'.');
        if fits && !is_dots && text.bytes().all(good) { Ok(Self(text.to_string())) } else { Err(SettingNameError) }
    }
}

impl TryFrom<String> for SettingName {
    type Error = SettingNameError;
    fn try_from(text: String) -> Result<Self, SettingNameError> {
        text.parse()
    }
}

impl From<SettingName> for String {
    fn from(name: SettingName) -> Self {
        name.0
    }
}

impl fmt::Display for SettingName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Bytes that no log shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Redacted(pub Bytes);

impl fmt::Debug for Redacted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Redacted(..)")
    }
}

impl From<Vec<u8>> for Redacted {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

#[cfg(test)]
mod tests;
