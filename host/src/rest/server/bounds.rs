//! Bounds on connections and their times.

use std::time::Duration;

use fusebox_core::limits::CONNECTIONS_MAX;
use ipnet::IpNet;

/// Bounds on what unauthenticated clients can use of a REST node.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Number of open connections, in addition to a reserve of a sixteenth; see `connections.rs`.
    pub connections: usize,
    /// Networks of trusted proxies, whose addresses have no limit of their own.
    pub trusted: &'static [IpNet],
    /// Longest time for a TLS handshake, for the head of the first request from the connection's start, and for the
    /// head of each later request from its first byte.
    pub headers: Duration,
    /// Longest time that a connection may stay idle, without a request in progress.
    pub keep_alive: Duration,
    /// Time without progress after which a client that does not read its response is disconnected.
    pub stall: Duration,
}

/// Longer than the idle time-out of common load balancers (60 s: Amazon, Azure, nginx), so that they close first and
/// never send a request to a connection that is being closed.
pub const KEEP_ALIVE: Duration = Duration::from_secs(75);

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            trusted: &[],
            headers: Duration::from_secs(10),
            keep_alive: KEEP_ALIVE,
            stall: Duration::from_secs(30),
        }
    }
}
