//! The conformance suite on real servers, and the shared parts of this store's tests. The tests set the time, so that
//! nothing here depends on the speed of a machine; the tests in `records` use Redis's own time.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use fusebox_core::time::Millis;
use fusebox_harness::redis::{RedisCluster, RedisServer, RedisShards};

use super::{Access, RedisStore, link::Patience};
use crate::{Options, Store, conformance::Subject};
use fusebox_system::clock::Clock;

mod audit;
pub(super) mod calls;
mod cluster;
mod deletion;
mod faults;
mod format;
mod full;
mod guarded;
mod kills;
mod loss;
mod migrate;
mod node;
mod prefixes;
mod records;
mod removed;
mod sentinel;
mod shards;
mod shared;
mod ways;

/// Small bounds, since the suite reaches them.
const OPTIONS: Options = Options { kv_entries_max: 20, kv_bytes_max: 200_000 };

/// A store with its server.
struct On<S> {
    store: RedisStore,
    clock: Clock,
    server: S,
}

#[async_trait]
impl<S: Send + Sync> Subject for On<S> {
    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn now(&self) -> Millis {
        self.clock.now()
    }

    async fn pass(&self, ms: u64) {
        self.clock.advance(ms);
    }

    fn bounds(&self) -> Options {
        OPTIONS
    }
}

async fn on<S>(server: S, url: &str) -> On<S> {
    reached(server, url, Access::default()).await
}

async fn reached<S>(server: S, url: &str, access: Access) -> On<S> {
    let clock = Clock::manual(Millis(1_750_000_000_000));
    let store = RedisStore::connect_with(url, access, OPTIONS, Patience::default(), Some(clock.clone())).await.unwrap();
    On { store, clock, server }
}

/// A store in a server of its own.
async fn node() -> On<RedisServer> {
    let server = RedisServer::start(&[]).unwrap();
    let url = server.url();
    on(server, &url).await
}

/// Tests use one Cluster in turn, since a Cluster takes a second or two to form.
static CLUSTERS: Mutex<Vec<RedisCluster>> = Mutex::new(Vec::new());

/// An empty Cluster for exclusive use.
struct Borrowed(Option<RedisCluster>);

impl Drop for Borrowed {
    fn drop(&mut self) {
        CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner).extend(self.0.take());
    }
}

impl Borrowed {
    fn take() -> Self {
        let free = CLUSTERS.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut cluster = free.unwrap_or_else(|| RedisCluster::start().unwrap());
        for node in cluster.nodes() {
            node.command(&["FLUSHALL"]).unwrap();
        }
        Self(Some(cluster))
    }

    fn cluster(&mut self) -> &mut RedisCluster {
        self.0.as_mut().unwrap()
    }
}

/// A store in a Cluster.
async fn cluster() -> On<Borrowed> {
    let mut cluster = Borrowed::take();
    let url = cluster.cluster().url();
    on(cluster, &url).await
}

/// A store over three servers without a Cluster.
async fn shards() -> On<RedisShards> {
    let servers = RedisShards::start(&[]).unwrap();
    let url = servers.url();
    on(servers, &url).await
}
