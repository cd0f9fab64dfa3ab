//! Capabilities granted to a function version beyond those of every function.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{HostCall, HostPattern, HostPatternError, ports};
use crate::limits::HTTP_HOSTS_MAX;

/// Capability that requires a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Capability {
    /// Read access to the function's configuration.
    Config,
    /// Read access to the function's secrets.
    Secrets,
    /// The function's own key-value namespace.
    Kv,
    /// HTTP requests to other hosts.
    Http,
}

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 4] = [Self::Config, Self::Secrets, Self::Kv, Self::Http];

    /// Returns the word used on every surface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Secrets => "secrets",
            Self::Kv => "kv",
            Self::Http => "http",
        }
    }

    /// Returns the form in which people write a grant of it.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Http => "http=HOST",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// All grants of a function version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grants {
    /// Read access to its configuration.
    pub config: bool,
    /// Read access to its secrets.
    pub secrets: bool,
    /// A key-value namespace.
    pub kv: bool,
    /// Hosts to which it may send requests; empty if it may send none.
    pub http: Hosts,
}

/// Sorted set of at most [`HTTP_HOSTS_MAX`] patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<HostPattern>", into = "Vec<HostPattern>")]
pub struct Hosts(Vec<HostPattern>);

impl Hosts {
    /// Returns the patterns.
    #[must_use]
    pub fn patterns(&self) -> &[HostPattern] {
        &self.0
    }
}

impl TryFrom<Vec<HostPattern>> for Hosts {
    type Error = GrantError;
    fn try_from(mut hosts: Vec<HostPattern>) -> Result<Self, GrantError> {
        hosts.sort();
        hosts.dedup();
        if hosts.len() > HTTP_HOSTS_MAX { Err(GrantError::TooManyHosts) } else { Ok(Self(hosts)) }
    }
}

impl From<Hosts> for Vec<HostPattern> {
    fn from(hosts: Hosts) -> Self {
        hosts.0
    }
}

/// A single grant, written as `config`, `secrets`, `kv` or `http=HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// A grant without parameters.
    Plain(Capability),
    /// Requests to the matching hosts.
    Http(HostPattern),
}

/// Error of a module whose imports require grants that it lacks. Its text says how to grant them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct MissingGrants(pub Vec<Capability>);

impl fmt::Display for MissingGrants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the module's imports require grants: register it with the parameter grants=")?;
        for (at, capability) in self.0.iter().enumerate() {
            write!(formatter, "{}{}", if at == 0 { "" } else { "," }, capability.example())?;
        }
        formatter.write_str(", or deploy it with")?;
        self.0.iter().try_for_each(|capability| write!(formatter, " --grant {}", capability.example()))
    }
}

/// Error of parsing grants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The word is not a grant.
    #[error("{0:?} is not a grant: use config, secrets, kv or http=HOST")]
    Unknown(String),
    /// The host in `http=HOST` is not a valid pattern.
    #[error(transparent)]
    Host(#[from] HostPatternError),
    /// The port in `http=HOST:PORT` is blocked, see [`ports`]. Versions that were granted such a port earlier keep the
    /// grant, but their requests are refused.
    #[error("port {0} cannot be granted: browsers block it, since it is not a web server's")]
    Port(u16),
    /// More patterns than a version may have.
    #[error("a function may be granted at most {HTTP_HOSTS_MAX} hosts: use *.example.com for many of one domain")]
    TooManyHosts,
}

impl FromStr for Grant {
    type Err = GrantError;
    fn from_str(text: &str) -> Result<Self, GrantError> {
        match (text, text.strip_prefix("http=")) {
            (_, Some(host)) => {
                let host: HostPattern = host.parse()?;
                match host.port().filter(|port| ports::is_blocked(*port)) {
                    Some(port) => Err(GrantError::Port(port)),
                    None => Ok(Self::Http(host)),
                }
            }
            ("config", _) => Ok(Self::Plain(Capability::Config)),
            ("secrets", _) => Ok(Self::Plain(Capability::Secrets)),
            ("kv", _) => Ok(Self::Plain(Capability::Kv)),
            _ => Err(GrantError::Unknown(text.chars().take(64).collect())),
        }
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(capability) => capability.fmt(formatter),
            Self::Http(host) => write!(formatter, "http={host}"),
        }
    }
}

impl Grants {
    /// Collects single grants.
    ///
    /// # Errors
    /// Returns [`GrantError::TooManyHosts`] for more than [`HTTP_HOSTS_MAX`] patterns.
    pub fn of(grants: impl IntoIterator<Item = Grant>) -> Result<Self, GrantError> {
        let (mut all, mut hosts) = (Self::default(), Vec::new());
        for grant in grants {
            match grant {
                Grant::Plain(Capability::Config) => all.config = true,
                Grant::Plain(Capability::Secrets) => all.secrets = true,
                Grant::Plain(Capability::Kv) => all.kv = true,
                // The capability is useless without a host, so it grants nothing.
                Grant::Plain(Capability::Http) => {}
                Grant::Http(host) => hosts.push(host),
            }
        }
        all.http = hosts.try_into()?;
        Ok(all)
    }

    /// Parses a comma-separated list, as used in queries and forms: `kv,http=api.example.com`.
    ///
    /// # Errors
    /// Returns the first word that is not a grant, or [`GrantError::TooManyHosts`].
    pub fn parse_list(text: &str) -> Result<Self, GrantError> {
        let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
        Self::of(words.map(str::parse).collect::<Result<Vec<_>, _>>()?)
    }

    /// Returns the single grants, in the order of [`Capability::ALL`].
    pub fn each(&self) -> impl Iterator<Item = Grant> + '_ {
        let plain = [(self.config, Capability::Config), (self.secrets, Capability::Secrets), (self.kv, Capability::Kv)];
        let plain = plain.into_iter().filter(|(given, _)| *given).map(|(_, capability)| Grant::Plain(capability));
        plain.chain(self.http.patterns().iter().cloned().map(Grant::Http))
    }

    /// Returns the list in the format of [`Grants::parse_list`].
    #[must_use]
    pub fn to_list(&self) -> String {
        self.each().map(|grant| grant.to_string()).collect::<Vec<_>>().join(",")
    }

    /// Returns whether a capability is granted.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        match capability {
            Capability::Config => self.config,
            Capability::Secrets => self.secrets,
            Capability::Kv => self.kv,
            Capability::Http => !self.http.patterns().is_empty(),
        }
    }

    /// Returns whether the capability of a call is granted. Hosts of HTTP requests are not checked here, since the
    /// request has not been parsed; see [`Grants::allow_host`].
    #[must_use]
    pub fn allow(&self, call: &HostCall) -> bool {
        self.has(call.capability())
    }

    /// Returns whether requests to this host and port are granted; see [`HostPattern::matches`].
    #[must_use]
    pub fn allow_host(&self, host: &str, port: u16, scheme_port: u16) -> bool {
        self.http.patterns().iter().any(|pattern| pattern.matches(host, port, scheme_port))
    }

    /// Returns the subset of `needed` that is not granted.
    #[must_use]
    pub fn missing(&self, needed: &[Capability]) -> Vec<Capability> {
        needed.iter().copied().filter(|capability| !self.has(*capability)).collect()
    }

    /// Checks that a module has a grant for each capability that it imports.
    ///
    /// # Errors
    /// [`MissingGrants`] with those that it lacks.
    pub fn check(&self, needed: &[Capability]) -> Result<(), MissingGrants> {
        let missing = self.missing(needed);
        if missing.is_empty() { Ok(()) } else { Err(MissingGrants(missing)) }
    }

    /// Returns the grants that are not contained in `before`.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Vec<Grant> {
        let before: Vec<_> = before.each().collect();
        self.each().filter(|grant| !before.contains(grant)).collect()
    }
}
