//! A master, its replica and their Sentinel.

use anyhow::Context as _;

use super::{RedisServer, START_PATIENCE};
use crate::eventually_blocking;

/// A master, a replica, and a Sentinel that promotes the replica.
pub struct RedisSentinel {
    /// Server that starts as the master.
    pub master: RedisServer,
    /// Server that starts as the replica.
    pub replica: RedisServer,
    sentinel: RedisServer,
}

impl RedisSentinel {
    /// The Sentinel's name of the master.
    pub const SERVICE: &str = "main";

    /// Starts them and waits until the replica follows and the Sentinel knows it.
    ///
    /// # Errors
    /// Fails if that takes too long.
    pub fn start() -> anyhow::Result<Self> {
        let master = RedisServer::start(&["--repl-diskless-sync-delay", "0"])?;
        let port = master.port.to_string();
        let replica = RedisServer::start(&["--replicaof", "127.0.0.1", &port, "--repl-diskless-sync-delay", "0"])?;
        let service = Self::SERVICE;
        let config = format!(
            "sentinel monitor {service} 127.0.0.1 {port} 1\nsentinel down-after-milliseconds {service} 500\n\
             sentinel failover-timeout {service} 3000\n"
        );
        let sentinel = RedisServer::start_sentinel(&[], &config)?;
        let all = Self { master, replica, sentinel };
        let known = || {
            let found = all.sentinel.command(&["SENTINEL", "REPLICAS", service]).unwrap_or_default();
            let follows = all.replica.command(&["INFO", "replication"]).unwrap_or_default();
            let is_known = found.contains(&all.replica.port.to_string());
            (is_known && follows.contains("master_link_status:up")).then_some(())
        };
        eventually_blocking("the Sentinel to find the replica", START_PATIENCE, known)?;
        Ok(all)
    }

    /// Waits until the replica has everything that the master has now.
    ///
    /// # Errors
    /// Fails if that takes too long.
    pub fn wait_until_replicated(&self) -> anyhow::Result<()> {
        let offset = |server: &RedisServer, name: &str| -> Option<u64> {
            let info = server.command(&["INFO", "replication"]).ok()?;
            info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
        };
        let written = offset(&self.master, "master_repl_offset").context("the master's offset")?;
        let follows = || offset(&self.replica, "slave_repl_offset").filter(|read| *read >= written).map(drop);
        eventually_blocking("the replica to follow", START_PATIENCE, follows)
    }

    /// Returns its address as a store URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{}", self.sentinel.port, Self::SERVICE)
    }
}
