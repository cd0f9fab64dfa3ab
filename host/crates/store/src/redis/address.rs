//! The address of a store: its servers, and how they are reached. Opens no connection, and never includes the password in
//! a text.

use std::{fmt, path::PathBuf};

use super::access::Access;
use crate::Result;

pub(super) use self::parse::{is_url, shown};

mod parse;

/// Address of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// Host name or address, and port.
    Tcp(String, u16),
    /// Path of a unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

/// Kind of Redis deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One server.
    Node,
    /// The server that the Sentinels name as the master of this service.
    Sentinel {
        /// Name of the service.
        service: String,
    },
    /// A Cluster.
    Cluster,
    /// Servers without a Cluster, each with a share of the partitions; their order is part of the store's identity.
    Shards,
}

/// Parsed URL, with the other settings of a connection.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// Kind of deployment.
    pub(super) kind: Kind,
    /// Servers of the URL, at least one: the Sentinels for [`Kind::Sentinel`].
    pub(super) hosts: Vec<Host>,
    /// Number of the database.
    pub(super) database: i64,
    /// True if connections use TLS.
    pub(super) is_tls: bool,
    /// User; `None` for the default user.
    pub(super) user: Option<String>,
    /// The password.
    pub(super) password: Option<String>,
    /// Settings beyond the URL.
    pub(super) access: Access,
}

impl Address {
    /// Returns the first server of the URL.
    pub(super) fn first(&self) -> Result<Host> {
        self.hosts.first().cloned().ok_or_else(|| parse::bad("a host is missing"))
    }

    /// Returns the address of each server that is connected to on its own: the shards, or the whole deployment.
    pub(super) fn links(&self) -> Vec<Self> {
        match self.kind {
            Kind::Shards => {
                let of = |host: &Host| Self { kind: Kind::Node, hosts: vec![host.clone()], ..self.clone() };
                self.hosts.iter().map(of).collect()
            }
            Kind::Node | Kind::Sentinel { .. } | Kind::Cluster => vec![self.clone()],
        }
    }
}

/// Shows the servers, without credentials.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<_> = self.hosts.iter().map(Host::to_string).collect();
        match &self.kind {
            Kind::Sentinel { service } => write!(f, "{} ({service})", hosts.join(",")),
            Kind::Node | Kind::Cluster | Kind::Shards => f.write_str(&hosts.join(",")),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
