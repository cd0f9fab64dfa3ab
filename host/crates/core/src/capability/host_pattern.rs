//! Patterns of hosts to which a function may send requests: `api.example.com` or `*.example.com`, each optionally with
//! `:port`.

use alloc::string::{String, ToString as _};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Longest name in the domain name system.
const HOST_CHARS_MAX: usize = 253;
/// Longest label of a name.
const LABEL_CHARS_MAX: usize = 63;

/// Pattern of hosts. A leading `*.` stands for one or more labels. Without a port, the pattern matches only the
/// scheme's default port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern {
    /// Lower-case host; for a wildcard, the part after `*.`.
    host: String,
    is_wildcard: bool,
    port: Option<u16>,
}

/// Error of parsing a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a host pattern: write api.example.com or *.example.com, with :PORT for a port other than the scheme's"
)]
pub struct HostPatternError(String);

impl HostPattern {
    /// Returns whether the pattern matches a request to `host` at `port`, given the default port of its scheme. The
    /// host is a name or an IPv4 address as written in a URL; case and a trailing dot are ignored.
    #[must_use]
    pub fn matches(&self, host: &str, port: u16, scheme_port: u16) -> bool {
        self.names(host) && port == self.port.unwrap_or(scheme_port)
    }

    /// Returns whether the pattern, used in a deny list, matches a request to `host` at `port`. Without a port of its
    /// own it then matches every port.
    #[must_use]
    pub fn denies(&self, host: &str, port: u16) -> bool {
        self.names(host) && self.port.is_none_or(|own| own == port)
    }

    /// Returns the explicit port, if any.
    #[must_use]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    fn names(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self.is_wildcard {
            false => host.eq_ignore_ascii_case(&self.host),
            true => host.len().checked_sub(self.host.len()).is_some_and(|rest| {
                // Requires at least one character and a dot before the suffix, and a cut on a character boundary.
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
        // A wildcard for a whole top-level domain is a mistake or an attack.
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
