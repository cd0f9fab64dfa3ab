//! The store in Redis 7.0 or newer: one server, the master of a Sentinel setup, a Cluster, or several servers without
//! one, shared by any number of hosts. Each step is one call of a Lua function, during which Redis performs no other
//! command.
//!
//! | file | holds |
//! |---|---|
//! | `address`, `access`, `client` | the URL, the other settings of a connection, and the client made from both |
//! | `link`, `sentinel`, `errors` | the connection: reopened after a loss, and never waited for without a bound |
//! | `mark` | detection of a store that lost its data |
//! | `format`, `migrate` | the layout of the store: its marker, and the refusal of unknown ones; the migration to the next |
//! | `shards` | the claims of several servers without a Cluster, which prove their order |
//! | `server`, `permissions` | checks of the server and of its user's permissions |
//! | `keys`, `records`, `states`, `past`, `kinds`, `words`, `versions` | every name in Redis, and the encoding of tasks and versions |
//! | `library` | the functions that Redis performs, in Lua; start with `library/common.lua` |
//! | `caller`, `batches`, `answers` | calls of those functions, split by size |
//! | `batcher`, `version_cache` | savings of work: tasks of many callers in one call, and cached versions |
//! | `modules` | modules, in compressed pieces |
//! | `functions`, `compiles`, `queue`, `tasks`, `jobs`, `kv`, `identity`, `fuel`, `usage`, `presence`, `wakeups` | a trait of the store each |
//! | `counted` | limits of tenants whose data are in several places |
//! | `accept`, `lease`, `report`, `purge`, `reads`, `find` | the calls of the queue, of the reads of tasks, and the search for them |
//! | `tenants` | deletion of tenants |
//! | `audit` | comparison of the records with the indexes |
//! | `pubsub` | messages about changes, which become wake-ups |
//!
//! Unlike the other stores, this one can lose accepted tasks when a master fails over to a replica that lagged behind.

use std::sync::Arc;

use async_trait::async_trait;
use fusebox_core::time::Millis;

use self::{
    address::{Address, Kind},
    audit::Audit,
    batcher::Batcher,
    caller::Caller,
    counted::Counted,
    keys::Layout,
    link::{Link, Patience},
    pubsub::PubSub,
    version_cache::VersionCache,
};
use crate::{Error, Migrated, Options, Result, Store, layout::REDIS};
use fusebox_system::clock::Clock;

mod accept;
mod access;
mod address;
mod answers;
mod audit;
mod batcher;
mod batches;
mod caller;
mod client;
mod compiles;
mod counted;
mod errors;
mod find;
mod format;
mod fuel;
mod functions;
mod identity;
mod jobs;
mod keys;
mod kinds;
mod kv;
mod lease;
mod library;
mod link;
mod mark;
mod migrate;
mod modules;
mod past;
mod permissions;
mod presence;
mod pubsub;
mod purge;
mod queue;
mod reads;
mod records;
mod report;
mod sentinel;
mod server;
mod shards;
mod states;
mod tasks;
mod tenants;
#[cfg(test)]
mod tests;
mod usage;
mod version_cache;
mod versions;
mod wakeups;
mod words;

pub use self::{
    access::{Access, Prefix},
    audit::Audited,
    server::Examined,
};

/// Store in Redis. See the module's documentation.
pub struct RedisStore {
    caller: Arc<Caller>,
    pubsub: PubSub,
    counted: Arc<Counted>,
    /// `None` on a Cluster and on shards, where a partition that does not answer must not delay the others.
    batcher: Option<Batcher>,
    cache: VersionCache,
    audit: Audit,
    /// Layout of this process.
    own: u32,
}

impl RedisStore {
    /// Returns true if `text` is a URL of this store.
    #[must_use]
    pub fn is_url(text: &str) -> bool {
        address::is_url(text)
    }

    /// Returns a URL without its credentials.
    #[must_use]
    pub fn shown(url: &str) -> String {
        address::shown(url)
    }

    /// Connects to the Redis at a URL: `redis://host:port`, `unix:///path`,
    /// `redis+sentinel://host:port,host:port/service`, `redis+cluster://host:port,host:port` or
    /// `redis+shard://host:port,host:port`.
    ///
    /// # Errors
    /// [`Error::Address`] if the URL is invalid, [`Error::Unreachable`] if nothing answers there, [`Error::Refused`] if
    /// a retry cannot succeed, [`Error::WrongVersion`] if the server is too old, and the errors of every step.
    pub async fn connect(url: &str, access: Access, options: Options) -> Result<Self> {
        Self::connect_with(url, access, options, Patience::default(), None).await
    }

    /// Reads the version, settings and layout of the Redis at a URL. Writes nothing there: no key, and no library.
    ///
    /// # Errors
    /// As [`RedisStore::connect`].
    pub async fn examine(url: &str, access: Access) -> Result<Examined> {
        let (_, caller) = reach(url, access, Options::default(), Patience::default(), None).await?;
        let mut examined = server::examine(&caller).await?;
        examined.summary.push_str(&format::shown(&caller, REDIS.own).await?);
        Ok(examined)
    }

    /// Migrates the store in the Redis at a URL to the layout of this version, while processes of this version use it.
    ///
    /// # Errors
    /// As [`RedisStore::connect`]; [`Error::Refused`] also if processes of an older version use the store. After another
    /// error the next call continues.
    pub async fn migrate(url: &str, access: Access) -> Result<Migrated> {
        let (address, caller) = reach(url, access, Options::default(), Patience::default(), None).await?;
        server::check(&caller).await?;
        server::check_permissions(&caller, &address).await?;
        migrate::run(&caller).await
    }

    async fn connect_with(
        url: &str,
        access: Access,
        options: Options,
        patience: Patience,
        clock: Option<Clock>,
    ) -> Result<Self> {
        Self::connect_as(url, access, options, patience, clock, REDIS.own).await
    }

    /// Connects as a process of a layout.
    async fn connect_as(
        url: &str,
        access: Access,
        options: Options,
        patience: Patience,
        clock: Option<Clock>,
        own: u32,
    ) -> Result<Self> {
        let (address, caller) = reach(url, access, options, patience, clock).await?;
        let layout = caller.layout();
        server::check(&caller).await?;
        server::check_permissions(&caller, &address).await?;
        format::check(&caller, own).await?;
        shards::begin(&caller).await?;
        // The marker is the first key of a place, so that another process that starts meanwhile finds no key without it.
        format::begin(&caller, own).await?;
        caller.begin().await?;
        let pubsub = PubSub::start(&address, patience);
        // Without wake-ups tasks still run, only later: no reason to refuse to start.
        let _ = tokio::time::timeout(patience.answer, pubsub.listening()).await;
        let audit = Audit::new(&caller);
        let (caller, counted) = (Arc::new(caller), Arc::new(Counted::default()));
        let batcher = (!layout.is_partitioned()).then(|| Batcher::start(caller.clone(), counted.clone()));
        Ok(Self { caller, pubsub, counted, batcher, cache: VersionCache::new(), audit, own })
    }

    /// Compares every record with the indexes, and restores missing entries. Each tick does a part of this.
    ///
    /// # Errors
    /// Fails if the store cannot be reached, see [`Error`].
    pub async fn audit(&self) -> Result<Audited> {
        self.audit.all(&self.caller).await
    }
}

/// Connects without making a call of a function, and refuses servers that do not belong together.
async fn reach(
    url: &str,
    access: Access,
    options: Options,
    patience: Patience,
    clock: Option<Clock>,
) -> Result<(Address, Caller)> {
    let address = Address::parse(url, access)?;
    let prefix = address.access.prefix;
    let layout = match address.kind {
        Kind::Node | Kind::Sentinel { .. } => Layout::whole(prefix),
        Kind::Cluster => Layout::partitioned(prefix),
        Kind::Shards => Layout::sharded(prefix, address.hosts.len()),
    };
    let caller = Caller::new(&address, layout, patience, options, clock);
    let connect = async |link: &Link| link.connect().await.map_err(|error| unreachable(link.shown(), error));
    futures_util::future::try_join_all(caller.links().iter().map(connect)).await?;
    shards::check(&caller).await?;
    Ok((address, caller))
}

fn unreachable(address: &str, error: Error) -> Error {
    let Error::Unavailable(reason) = error else { return error };
    let address = address.to_owned();
    let reason = match reason.strip_prefix(&format!("Redis at {address} ")) {
        Some(rest) => format!("it {rest}"),
        None => reason,
    };
    Error::Unreachable { address, reason }
}

#[async_trait]
impl Store for RedisStore {
    async fn check(&self) -> Result<()> {
        self.caller.check().await?;
        format::announce(&self.caller, self.own).await
    }

    async fn now(&self) -> Result<Millis> {
        let call = self.caller.call(self.caller.layout().shared(), "now");
        answers::number(self.caller.ask(call).await?).map(Millis)
    }
}
