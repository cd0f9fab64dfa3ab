//! A store to measure, with its cost besides time: memory of its process and disk space.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fusebox_core::keep::Keep;
use fusebox_harness::redis::RedisServer;
use fusebox_store::{
    Options, Store,
    embedded::EmbeddedStore,
    redis::{Access, RedisStore},
};
use fusebox_system::clock::Clock;
use tempfile::TempDir;

use crate::steps::Steps;

/// Kind of store.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// In this process, synced before each answer.
    Embedded,
    /// A server whose log is synced once a second.
    Redis,
}

/// A store to measure. Dropping it ends its server.
pub(crate) struct Place {
    kind: Kind,
    store: Arc<dyn Store>,
    home: TempDir,
    server: Option<RedisServer>,
}

/// Resources used by a store.
pub(crate) struct Cost {
    memory: u64,
    disk: u64,
}

impl Place {
    /// Opens an empty store.
    pub(crate) async fn open(kind: Kind) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let (store, server): (Arc<dyn Store>, _) = match kind {
            Kind::Embedded => (embedded(home.path())?, None),
            Kind::Redis => {
                let server = RedisServer::start(&["--appendfsync", "everysec"])?;
                (
                    Arc::new(RedisStore::connect(&server.url(), Access::default(), Options::default()).await?),
                    Some(server),
                )
            }
        };
        Ok(Self { kind, store, home, server })
    }

    /// Returns the steps on this store.
    pub(crate) async fn steps(&self) -> anyhow::Result<Steps> {
        Steps::new(self.store.clone(), "default", Keep::DEFAULT).await
    }

    /// Returns the current use of resources. The embedded store's memory is that of this process.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        match &self.server {
            Some(server) => {
                let info = server.command(&["INFO", "memory"])?;
                let line = info.lines().find_map(|line| line.strip_prefix("used_memory_rss:")).context("its memory")?;
                Ok(Cost { memory: line.trim().parse()?, disk: bytes_in(server.dir())? })
            }
            None => {
                let kib = procfs::process::Process::myself()?.status()?.vmrss.context("its memory")?;
                Ok(Cost { memory: kib << 10, disk: bytes_in(self.home.path())? })
            }
        }
    }

    /// Reopens the store and returns the duration; `None` if a server does this.
    pub(crate) async fn reopen(self) -> anyhow::Result<Option<Duration>> {
        if self.kind == Kind::Redis {
            return Ok(None);
        }
        drop(self.store);
        // The writer ends after the last handle is dropped, and only then releases the file.
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let start = Instant::now();
            match embedded(self.home.path()) {
                Ok(_) => return Ok(Some(start.elapsed())),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

fn embedded(home: &Path) -> anyhow::Result<Arc<EmbeddedStore>> {
    Ok(Arc::new(EmbeddedStore::open(&home.join("store"), Clock::System)?))
}

/// Returns the size of the files below a directory, in bytes.
pub(crate) fn bytes_in(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_in(&entry.path())?,
            // Redis may rename and remove parts of its log meanwhile.
            false => entry.metadata().map_or(0, |data| data.len()),
        };
    }
    Ok(bytes)
}

impl Cost {
    /// Returns a summary of the increase since `before`.
    pub(crate) fn since(&self, before: &Self) -> String {
        let mb = |now: u64, before: u64| (now as f64 - before as f64) / 1e6;
        format!("memory {:+.1} MB, disk {:+.1} MB", mb(self.memory, before.memory), mb(self.disk, before.disk))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Embedded => "embedded",
            Self::Redis => "redis",
        })
    }
}
