//! The conformance suite on a real server.

use async_trait::async_trait;
use fusebox_core::time::Millis;
use fusebox_harness::redis::RedisServer;

use super::{RedisStore, link::Patience};
use crate::{
    clock::Clock,
    store::{
        Options, Store,
        conformance::{Subject, conformance},
    },
};

/// Small, since the suite reaches them.
const OPTIONS: Options = Options { queued_tasks_max: 2_000, function_versions_max: 10, ended_ttl_ms: 10_000 };

struct Node {
    store: RedisStore,
    clock: Clock,
    _server: RedisServer,
}

#[async_trait]
impl Subject for Node {
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

async fn node() -> Node {
    let server = RedisServer::start(&[]).unwrap();
    let clock = Clock::manual(Millis(1_750_000_000_000));
    let store = RedisStore::connect_with(&server.url(), OPTIONS, Patience::default(), Some(clock.clone())).await;
    Node { store: store.unwrap(), clock, _server: server }
}

conformance!(node);
