//! A store that is measured, with what it costs beside time: memory of its process and room on disk.

use std::{
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fusebox::{
    clock::Clock,
    store::{Options, Store, embedded::EmbeddedStore, redis::RedisStore},
};
use fusebox_harness::redis::RedisServer;
use tempfile::TempDir;

use crate::steps::Steps;

/// Which store.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    /// In this process; synced before each answer.
    Embedded,
    /// A server whose log is synced once a second.
    Redis,
}

/// See the module's documentation. Dropping it ends its server.
pub(crate) struct Place {
    kind: Kind,
    store: Arc<dyn Store>,
    home: TempDir,
    server: Option<RedisServer>,
}

/// What a store takes up.
pub(crate) struct Cost {
    memory: u64,
    disk: u64,
}

impl Place {
    /// An empty one.
    pub(crate) async fn open(kind: Kind) -> anyhow::Result<Self> {
        let home = tempfile::tempdir()?;
        let (store, server): (Arc<dyn Store>, _) = match kind {
            Kind::Embedded => (embedded(home.path())?, None),
            Kind::Redis => {
                let server = RedisServer::start(&["--appendfsync", "everysec"])?;
                (Arc::new(RedisStore::connect(&server.url(), Options::default()).await?), Some(server))
            }
        };
        Ok(Self { kind, store, home, server })
    }

    /// Its steps.
    pub(crate) async fn steps(&self) -> anyhow::Result<Steps> {
        Steps::new(self.store.clone(), "default").await
    }

    /// What it takes up now. The embedded store's memory is this process's.
    pub(crate) fn cost(&self) -> anyhow::Result<Cost> {
        match &self.server {
            Some(server) => {
                let info = server.command(&["INFO", "memory"])?;
                let line = info.lines().find_map(|line| line.strip_prefix("used_memory_rss:")).context("its memory")?;
                Ok(Cost { memory: line.trim().parse()?, disk: bytes_in(server.dir())? })
            }
            None => {
                let status = std::fs::read_to_string("/proc/self/status")?;
                let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
                let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
                Ok(Cost { memory: kib << 10, disk: bytes_in(self.home.path())? })
            }
        }
    }

    /// Opens it once more, where that is this process's work, and tells how long it took.
    pub(crate) async fn reopen(self) -> anyhow::Result<Option<Duration>> {
        if self.kind == Kind::Redis {
            return Ok(None);
        }
        drop(self.store);
        // Its writer ends behind its last handle, and only then lets go of the file.
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

fn bytes_in(dir: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => bytes_in(&entry.path())?,
            // Redis renames and removes parts of its log meanwhile.
            false => entry.metadata().map_or(0, |data| data.len()),
        };
    }
    Ok(bytes)
}

impl Cost {
    /// What came to it.
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
