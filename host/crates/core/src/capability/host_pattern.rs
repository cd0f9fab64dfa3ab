//! Which hosts a function may send requests to: `api.example.com`, `*.example.com`, either with a `:port`.

use alloc::string::{String, ToString as _};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The longest name that the domain name system has.
const HOST_CHARS_MAX: usize = 253;
/// The longest label of one.
const LABEL_CHARS_MAX: usize = 63;

/// A pattern of hosts. A `*.` in front stands for one or more labels, and not for none; without a port, it means the
/// scheme's own port only.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// In lower case; what follows the `*.` of a wildcard.
    host: String,
    is_wildcard: bool,
    port: Option<u16>,
}

/// Why a text is no pattern of hosts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no host to grant: write api.example.com or *.example.com, with :PORT for another port than the scheme's"
)]
pub struct HostPatternError(String);

impl HostPattern {
    /// Whether a request to `host` at `port` is meant; `scheme_port` is the one its scheme has by itself. The host is
    /// a name or an IPv4 address as a URL has it; upper case and a final dot make no difference.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16, scheme_port: u16) -> bool {
        self.names(host) && port == self.port.unwrap_or(scheme_port)
    }

    /// Returns whether a request to `host` at `port` falls under the pattern where that denies: without a port of its own it
    /// then means every port.
    #[must_use]
    pub fn denies(&self, host: &str, port: u16) -> bool {
        self.names(host) && self.port.is_none_or(|own| own == port)
    }

    /// The port that it names.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self.is_wildcard {
            false => host.eq_ignore_ascii_case(&self.host),
            true => host.len().checked_sub(self.host.len()).is_some_and(|rest| {
                // At least one character and a dot in front, and the cut is no middle of a character.
                rest >= 2
                    && host.get(rest..).is_some_and(|end| end.eq_ignore_ascii_case(&self.host))
                    && host.as_bytes().get(rest - 1) == Some(&b'.')
            }),
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;
    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        let refused = || HostPatternError(text.chars().take(HOST_CHARS_MAX).collect());
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, port)) => {
                let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port != 0);
                (host, Some(port.ok_or_else(refused)?))
            }
        };
        let (host, is_wildcard) = match host.strip_prefix("*.") {
            Some(host) => (host, true),
            None => (host, false),
        };
        let label_is_good = |label: &str| {
            (1..=LABEL_CHARS_MAX).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        };
        // A wildcard of a whole top level is a mistake or an attack.
        let is_wide = is_wildcard && !host.contains('.');
        if host.len() > HOST_CHARS_MAX || is_wide || !host.split('.').all(label_is_good) {
            return Err(refused());
        }
        Ok(Self { host: host.to_ascii_lowercase(), is_wildcard, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let star = if self.is_wildcard { "*." } else { "" };
        write!(formatter, "{star}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(formatter, ":{port}"))
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostPatternError;
    fn try_from(text: String) -> Result<Self, HostPatternError> {
        text.parse()
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.to_string()
    }
}
