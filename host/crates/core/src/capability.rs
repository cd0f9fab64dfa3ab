//! Calls that a guest may make beyond its own run, their answers, and the reasons for refusing them.
//!
//! The same types are used between a sandbox and the store of its process, on the link between a worker and its
//! dispatcher, and between a jailed process and its parent. Invalid calls cannot be represented: keys, values and names
//! are checked on construction, which includes decoding.

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

pub use grants::{Capability, Grant, GrantError, Grants, Hosts, MissingGrants};
pub use host_pattern::{HostPattern, HostPatternError};

/// A call from a guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostCall {
    /// Reads a configuration value of the function.
    Config(SettingName),
    /// Reads a secret of the function.
    Secret(SettingName),
    /// Reads an entry of the function's key-value namespace.
    KvGet(KvKey),
    /// Sets an entry of the namespace.
    KvSet {
        /// Key of the entry.
        key: KvKey,
        /// New value.
        value: KvValue,
        /// Time to live; `None` keeps the entry until it is deleted.
        ttl: Option<Ttl>,
        /// Condition on the current entry.
        expects: Expects,
    },
    /// Removes an entry of the namespace.
    KvDelete {
        /// Key of the entry.
        key: KvKey,
        /// Condition on the current entry.
        expects: Expects,
    },
    /// Sends an HTTP request to another host. Format: `METHOD URL\n`, header lines `name: value\n`, `\n`, body.
    Http(HttpRequest),
    /// Lists keys of the namespace, a page at a time and in no order. Known since [`crate::wire::LISTS_SINCE`].
    KvKeys {
        /// Start of the keys that are wanted; empty for all.
        prefix: KvPrefix,
        /// Place where the page before ended; empty for the first page.
        after: KvCursor,
    },
    /// Reads all configuration values of the function. Known since [`crate::wire::LISTS_SINCE`].
    Configs,
}

impl HostCall {
    /// Returns the capability that the call requires.
    #[must_use]
    pub const fn capability(&self) -> Capability {
        match self {
            Self::Config(_) | Self::Configs => Capability::Config,
            Self::Secret(_) => Capability::Secrets,
            Self::KvGet(_) | Self::KvSet { .. } | Self::KvDelete { .. } | Self::KvKeys { .. } => Capability::Kv,
            Self::Http(_) => Capability::Http,
        }
    }
}

/// Answer of the host to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostAnswer {
    /// The value requested by [`HostCall::Config`].
    Config(Bytes),
    /// The value requested by [`HostCall::Secret`].
    Secret(Redacted),
    /// The entry requested by [`HostCall::KvGet`].
    Value {
        /// Revision of the value; it changes with each set and is never reused within the namespace.
        revision: Revision,
        /// The value.
        value: Bytes,
    },
    /// New revision, in answer to [`HostCall::KvSet`].
    Set(Revision),
    /// True if [`HostCall::KvDelete`] removed an entry.
    Deleted(bool),
    /// The response to [`HostCall::Http`]. Format: `STATUS\n`, header lines, `\n`, body.
    Http(Bytes),
    /// Page of keys, in answer to [`HostCall::KvKeys`]. It may be empty though others follow.
    Keys {
        /// The keys.
        keys: Vec<KvKey>,
        /// Place where the page ends; empty if it is the last one.
        next: KvCursor,
    },
    /// The values requested by [`HostCall::Configs`], by their names.
    Configs(Vec<(SettingName, Bytes)>),
}

impl HostAnswer {
    /// Returns the size in bytes of what a guest receives.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Config(value) | Self::Http(value) | Self::Value { value, .. } => value.len(),
            Self::Secret(secret) => secret.0.len(),
            Self::Keys { keys, next } => {
                keys.iter().map(|key| key.as_bytes().len()).sum::<usize>() + next.as_bytes().len()
            }
            Self::Configs(settings) => settings.iter().map(|(name, value)| name.as_str().len() + value.len()).sum(),
            Self::Set(_) | Self::Deleted(_) => 0,
        }
    }
}

/// Reason for refusing a call. The guest receives it as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The value does not exist.
    #[error("the value does not exist")]
    Absent,
    /// The current entry does not meet the expected condition.
    #[error("the entry does not meet the expected condition")]
    Conflict,
    /// A key, value, request or response exceeds its size limit.
    #[error("a size limit is exceeded")]
    TooLarge,
    /// The quota of the namespace or the tenant is used up.
    #[error("the quota is used up")]
    Quota,
    /// The call was not granted, or the address is blocked for everyone.
    #[error("the call is not allowed")]
    Refused,
    /// The service is temporarily unavailable; a retry may succeed.
    #[error("the service is temporarily unavailable")]
    Unavailable,
    /// The service did not answer in time.
    #[error("no answer arrived in time")]
    TimedOut,
    /// The call is malformed.
    #[error("the call is malformed")]
    Invalid,
}

impl Refusal {
    /// Returns the number that the guest's import returns.
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

/// Revision of a value, at least 1.
pub type Revision = u64;

/// Condition on the current entry for a change to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expects {
    /// No condition.
    Anything,
    /// The entry does not exist.
    Nothing,
    /// The entry has this revision.
    Revision(Revision),
}

impl Expects {
    /// Decodes the guest's form: -1 for anything, 0 for nothing, or a revision.
    ///
    /// # Errors
    /// Returns [`Refusal::Invalid`] for any other negative number.
    pub fn from_guest(number: i64) -> Result<Self, Refusal> {
        match number {
            -1 => Ok(Self::Anything),
            0 => Ok(Self::Nothing),
            _ => u64::try_from(number).map(Self::Revision).map_err(|_| Refusal::Invalid),
        }
    }

    /// Returns whether the condition holds, given the revision of the current entry, if any.
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
            /// Maximum size in bytes.
            pub const BYTES_MAX: usize = $most;

            /// Checks a length against the type's bounds.
            ///
            /// # Errors
            /// Returns [`Refusal::Invalid`] for 0 if the type cannot be empty, and [`Refusal::TooLarge`] above the
            /// maximum.
            pub const fn check(bytes: usize) -> Result<(), Refusal> {
                match bytes {
                    0 if !$may_be_empty => Err(Refusal::Invalid),
                    len if len > $most => Err(Refusal::TooLarge),
                    _ => Ok(()),
                }
            }

            /// Returns the bytes.
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
    /// Key of a namespace: at least one byte, arbitrary content.
    KvKey, may_be_empty: false, KV_KEY_BYTES_MAX
);
bounded_bytes!(
    /// Start of keys of a namespace; an empty one is that of all keys.
    KvPrefix, may_be_empty: true, KV_KEY_BYTES_MAX
);
bounded_bytes!(
    /// Place in a listing of keys, which only the store that made it understands.
    KvCursor, may_be_empty: true, KV_KEY_BYTES_MAX
);
bounded_bytes!(
    /// Value of a namespace: arbitrary content, possibly empty.
    KvValue, may_be_empty: true, KV_VALUE_BYTES_MAX
);
bounded_bytes!(
    /// Serialized HTTP request that has not been parsed yet.
    HttpRequest, may_be_empty: false, HTTP_REQUEST_BYTES_MAX
);

impl Default for KvPrefix {
    fn default() -> Self {
        Self(Bytes::new())
    }
}

impl Default for KvCursor {
    fn default() -> Self {
        Self(Bytes::new())
    }
}

impl KvCursor {
    /// Returns true for the start of a listing, and for its end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Time to live of an entry, from 1 to [`KV_TTL_MS_MAX`] milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Ttl(u64);

impl Ttl {
    /// Returns the time to live in milliseconds.
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

/// Name of a configuration value or secret: 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`, not dots
/// alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SettingName(String);

/// Error of parsing the name of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("use 1 to {SETTING_NAME_CHARS_MAX} characters of A-Z, a-z, 0-9, -, _ and ., not dots alone")]
pub struct SettingNameError;

impl SettingName {
    /// Returns the name as text.
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
        // Proxies rewrite paths in which a segment consists of dots only.
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

/// Bytes that `Debug` does not print.
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
