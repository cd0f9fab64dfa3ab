//! Redis servers without a Cluster, over which a store is spread.

use super::RedisServer;

/// Three servers that know nothing of each other.
pub struct RedisShards(pub [RedisServer; 3]);

impl RedisShards {
    /// Starts them with additional settings.
    ///
    /// # Errors
    /// Fails if one does not respond.
    pub fn start(args: &[&str]) -> anyhow::Result<Self> {
        Ok(Self([RedisServer::start(args)?, RedisServer::start(args)?, RedisServer::start(args)?]))
    }

    /// Returns their address as a store URL.
    #[must_use]
    pub fn url(&self) -> String {
        shards_url(&self.0.each_ref().map(RedisServer::port))
    }
}

/// Returns the store URL of servers at these ports, in this order.
#[must_use]
pub fn shards_url(ports: &[u16]) -> String {
    let hosts: Vec<_> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("redis+shard://{}", hosts.join(","))
}
