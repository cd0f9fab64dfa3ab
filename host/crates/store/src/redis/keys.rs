//! Every name of a key or channel in Redis. One file, so that no two kinds of key can collide and a dump can be read.
//! The functions in `library` receive these names as constants. Independent of the records' content.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `task:<id>` | hash | a task; its `record` and `state` are authoritative |
//! | `function:<id>` | hash | a function version |
//! | `fusebox:kind:<name>` | hash | `words` that many tasks have in common, and the number of tasks that `uses` them |
//! | `fusebox:fresh:<tenant>:<priority>` | list | ready tasks that were never leased or delayed: record, id, and a small input |
//! | `fusebox:ready:<tenant>:<priority>` | sorted set | ready tasks that came back, by their time of acceptance |
//! | `fusebox:gone:<tenant>` | set | ids of fresh tasks that have ended, whose entries are still there |
//! | `fusebox:lines` | sorted set | lines (tenant and priority) with queued tasks, by the first expiry in them |
//! | `fusebox:due` | sorted set | delayed tasks, by the time they are due or expire |
//! | `fusebox:leased` | hash | the fence of each running task: attempt, token, time, releases, size of the input, kind, and number of its lease |
//! | `fusebox:lease:<number>` | hash | what one call leased or renewed: end, worker, dispatcher, tenant, ids, and how many are left |
//! | `fusebox:leases` | sorted set | numbers of leases, by their end |
//! | `fusebox:unmarked` | list | times and numbers of the latest leases, whose tasks' `status` does not yet say RUNNING |
//! | `fusebox:ended` | sorted set | ended tasks, up to 200 in a member, by the time for which they are kept |
//! | `fusebox:tasks:<tenant>` | sorted set | tasks: padded time of acceptance, and up to 500 ids that were accepted then |
//! | `fusebox:tagged:<tenant>:<tag>` | sorted set | tasks with a tag: padded time of acceptance, and id |
//! | `fusebox:dead:<tenant>` | sorted set | dead letters: padded time of the end, and id |
//! | `fusebox:counters:<tenant>` | hash | numbers of delayed tasks, leased attempts, and unfinished tasks of each version; the place up to which `tasks` was trimmed; `closed` while the tenant is being deleted, and for an hour after |
//! | `fusebox:tenants` | set | tenants that may have work |
//! | `fusebox:versions:<tenant>:<name>` | sorted set | ids of a name's versions that are ready, by version number |
//! | `fusebox:drafts:<tenant>:<name>` | sorted set | ids of a name's versions that are being compiled or have failed, by version number |
//! | `fusebox:compiling` | sorted set | versions to be compiled, by the time until which a node holds them |
//! | `fusebox:names:<tenant>` | sorted set | names, in byte order |
//! | `fusebox:numbers:<tenant>` | hash | last version number used for each name, and under no name the highest of former ones |
//! | `fusebox:version_counts` | hash | number of versions of each tenant |
//! | `fusebox:stored` | hash | bytes stored for each tenant in this place |
//! | `fusebox:deleted` | sorted set | deleted versions that may be needed, by the time from which they are examined |
//! | `fusebox:fuel:<tenant>` | hash | fuel left in the tenant's tank, and the time of that level; absent if full |
//! | `fusebox:compile_budget:<tenant>` | hash | compile time left in the tenant's budget, and the time of that level; absent if full |
//! | `fusebox:module:<digest>` | hash | a module in `pieces` pieces `p0` and so on, their `coding`, their size in `bytes`, and the number of `versions` that use it; older ones have `wasm` |
//! | `fusebox:module:<digest>:<function>` | hash | pieces of a module that is being registered; expires |
//! | `fusebox:accounts` | hash | record of each tenant |
//! | `fusebox:deleting` | set | tenants that are being deleted |
//! | `fusebox:tombstones` | string | digests of the names of deleted tenants, 16 bytes each |
//! | `fusebox:key:<id>` | hash | an API key, with the SHA-256 of its secret |
//! | `fusebox:keys:<tenant>` | set | ids of a tenant's API keys |
//! | `fusebox:store` | string | random id of the store; a missing or other id shows that the store was emptied |
//! | `fusebox:layout` | string | layout of the store, as readable text |
//! | `fusebox:shard` | string | number of a server among those of `redis+shard://`, and the id of the store |
//! | `fusebox:layouts` | sorted set | layouts of the processes that use the store, by the time they were last seen |
//! | `fusebox:keyed` | string | exists once an API key was ever made; requests then need a key |
//! | `fusebox:values:<tenant>:<name>` | hash | values of a function's namespace, each with its revision and expiry |
//! | `fusebox:value_ends:<tenant>:<name>` | sorted set | keys of the values that expire, by expiry |
//! | `fusebox:value_counts:<tenant>:<name>` | hash | last revision used, and the size in bytes |
//! | `fusebox:value_counts:<tenant>` | hash | highest revision of the namespaces that were forgotten |
//! | `fusebox:namespaces:<tenant>` | set | names of functions that have values or settings |
//! | `fusebox:config:<tenant>:<name>` `fusebox:secrets:<tenant>:<name>` | hashes | settings; secrets are sealed |
//! | `fusebox:jobs:<tenant>` | hash | jobs of a tenant: whether each is open, how often it was taken, and its record |
//! | `fusebox:jobs_open` | sorted set | tenants and ids of open jobs, by the time until which a node holds them |
//! | `fusebox:dispatchers` | sorted set | announced dispatchers, by the end of their announcement |
//! | `fusebox:dispatcher:<id>` | string | workers of a dispatcher |
//!
//! If the store has a prefix, each of these names and each channel starts with it and a colon: `acme:task:<id>`.
//!
//! On a Cluster the first word is followed by a hash tag: `task{p0c}:<id>`. All keys of a task are in the slot of its
//! partition, so that one function call reaches them; functions, API keys and workers share one other slot; the values
//! and settings of a function are in the slot of a partition chosen by its tenant and name. Shards have the names of a
//! Cluster: the servers have the partitions in turn, and the first one also what is in the other slot.

use fusebox_core::{
    id::{FunctionId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
};

use super::{access::Prefix, library};
use crate::kv::SettingKind;

const TASK: &str = "task";
const FUNCTION: &str = "function";
const KIND: &str = "fusebox:kind";
const DUE: &str = "fusebox:due";
const MODULE: &str = "fusebox:module";
const NAMES: &str = "fusebox:names";
const ACCOUNTS: &str = "fusebox:accounts";
const DELETING: &str = "fusebox:deleting";
const CONFIG: &str = "fusebox:config";
const SECRETS: &str = "fusebox:secrets";
const KEYED: &str = "fusebox:keyed";
const JOBS: &str = "fusebox:jobs";
const STORE: &str = "fusebox:store";
const MARKER: &str = "fusebox:layout";
const SHARD: &str = "fusebox:shard";

/// Names that the library receives as constants.
pub(super) const CONSTANTS: [(&str, &str); 55] = [
    ("TASK", TASK),
    ("FUNCTION", FUNCTION),
    ("KIND", KIND),
    ("FRESH", "fusebox:fresh"),
    ("READY", "fusebox:ready"),
    ("GONE", "fusebox:gone"),
    ("DUE", DUE),
    ("LEASED", "fusebox:leased"),
    ("LEASE", "fusebox:lease"),
    ("LEASES", "fusebox:leases"),
    ("UNMARKED", "fusebox:unmarked"),
    ("LINES", "fusebox:lines"),
    ("ENDED", "fusebox:ended"),
    ("TASKS", TASKS),
    ("DEAD", DEAD),
    ("TAGGED", TAGGED),
    ("JOBS", JOBS),
    ("JOBS_OPEN", "fusebox:jobs_open"),
    ("COUNTERS", "fusebox:counters"),
    ("TENANTS", "fusebox:tenants"),
    ("VERSIONS", "fusebox:versions"),
    ("NAMES", NAMES),
    ("NUMBERS", "fusebox:numbers"),
    ("VERSION_COUNTS", "fusebox:version_counts"),
    ("STORED", "fusebox:stored"),
    ("DELETED", "fusebox:deleted"),
    ("FUEL", "fusebox:fuel"),
    ("COMPILE_BUDGET", "fusebox:compile_budget"),
    ("COMPILING", "fusebox:compiling"),
    ("DRAFTS", "fusebox:drafts"),
    ("MODULE", MODULE),
    ("ACCOUNTS", ACCOUNTS),
    ("DELETING", DELETING),
    ("TOMBSTONES", "fusebox:tombstones"),
    ("API_KEY", "fusebox:key"),
    ("API_KEYS", "fusebox:keys"),
    ("KEYED", KEYED),
    ("STORE", STORE),
    ("MARKER", MARKER),
    ("LAYOUTS", "fusebox:layouts"),
    ("OWN_KEYS", "fusebox:"),
    ("VALUES", "fusebox:values"),
    ("VALUE_ENDS", "fusebox:value_ends"),
    ("VALUE_COUNTS", "fusebox:value_counts"),
    ("NAMESPACES", "fusebox:namespaces"),
    ("CONFIG", CONFIG),
    ("SECRETS", SECRETS),
    ("DISPATCHERS", "fusebox:dispatchers"),
    ("DISPATCHER", "fusebox:dispatcher"),
    ("CHANGED", CHANGED_CHANNEL),
    ("ENDED_CHANNEL", ENDED_CHANNEL),
    ("READY_CHANNEL", READY_CHANNEL),
    ("CANCELLED_CHANNEL", CANCELLED_CHANNEL),
    ("IDENTITY_CHANNEL", IDENTITY_CHANNEL),
    ("SEED_CHANNEL", SEED_CHANNEL),
];

/// Index of a tenant's tasks.
pub(super) const TASKS: &str = "fusebox:tasks";
/// Index of a tenant's tasks with a tag.
pub(super) const TAGGED: &str = "fusebox:tagged";
/// Index of a tenant's dead letters.
pub(super) const DEAD: &str = "fusebox:dead";

/// Channel for the id of each accepted task, as the Python platform published it. For old tools; this host does not
/// subscribe.
pub(super) const SEED_CHANNEL: &str = "Tasks";
/// Channel for ids of tasks that started or were queued again.
pub(super) const CHANGED_CHANNEL: &str = "fusebox:changed";
/// Channel for ids of tasks that ended.
pub(super) const ENDED_CHANNEL: &str = "fusebox:ended";
/// Channel for the tenants of tasks that became ready, with the number of tasks of each.
pub(super) const READY_CHANNEL: &str = "fusebox:ready";
/// Channel for ids of tasks that were cancelled while they ran.
pub(super) const CANCELLED_CHANNEL: &str = "fusebox:cancelled";
/// Channel for changes of tenants and API keys; its messages are empty.
pub(super) const IDENTITY_CHANNEL: &str = "fusebox:identity";

/// Number of partitions of a store on several servers.
pub(super) const PARTITIONS: usize = 16;

/// Hash tags of the partitions. The letters are chosen so that each tag is in its own sixteenth of the slots, which
/// gives Clusters of any size an even share of the partitions per node.
const TAGS: [&str; PARTITIONS] = [
    "{p0c}", "{p1ab}", "{p2bb}", "{p3ba}", "{p4db}", "{p5da}", "{p6d}", "{p7fa}", "{p8fd}", "{p9fc}", "{p10c}",
    "{p11dc}", "{p12fa}", "{p13fb}", "{p14ac}", "{p15ad}",
];
const SHARED_TAG: &str = "{fusebox}";

/// Location of the keys that one call reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    prefix: &'static str,
    tag: &'static str,
    server: usize,
}

impl Place {
    /// Returns the index of the server with the keys, among those that are connected to on their own.
    pub(super) const fn server(self) -> usize {
        self.server
    }

    /// Returns the hash tag; empty if there is only one place.
    pub(super) const fn tag(self) -> &'static str {
        self.tag
    }

    /// Returns a key by which a call to this place is routed.
    pub(super) fn route(self) -> String {
        format!("{}{DUE}{}", self.prefix, self.tag)
    }

    /// Returns the key of a function version's record.
    pub(super) fn function(self, function: FunctionId) -> String {
        format!("{}{FUNCTION}{}:{function}", self.prefix, self.tag)
    }

    /// Returns the key of a task's record.
    pub(super) fn task(self, task: TaskId) -> String {
        format!("{}{TASK}{}:{task}", self.prefix, self.tag)
    }

    /// Returns the key of a kind.
    pub(super) fn kind(self, name: &str) -> String {
        format!("{}{KIND}{}:{name}", self.prefix, self.tag)
    }

    /// Returns the key of the tenants' records.
    pub(super) fn accounts(self) -> String {
        format!("{}{ACCOUNTS}{}", self.prefix, self.tag)
    }

    /// Returns the key that exists once an API key was ever made.
    pub(super) fn keyed(self) -> String {
        format!("{}{KEYED}{}", self.prefix, self.tag)
    }

    /// Returns the key of a tenant's jobs.
    pub(super) fn jobs(self, tenant: &TenantId) -> String {
        format!("{}{JOBS}{}:{tenant}", self.prefix, self.tag)
    }

    /// Returns the key of the store's id.
    pub(super) fn store(self) -> String {
        format!("{}{STORE}{}", self.prefix, self.tag)
    }

    /// Returns the key of the marker of the layout.
    pub(super) fn marker(self) -> String {
        format!("{}{MARKER}{}", self.prefix, self.tag)
    }

    /// Returns the key of a function's settings of a kind.
    pub(super) fn settings(self, kind: SettingKind, tenant: &TenantId, function: &FunctionName) -> String {
        let kind = match kind {
            SettingKind::Config => CONFIG,
            SettingKind::Secret => SECRETS,
        };
        format!("{}{kind}{}:{tenant}:{function}", self.prefix, self.tag)
    }

    /// Returns the key of a module.
    pub(super) fn module(self, digest: &ModuleDigest) -> String {
        format!("{}{MODULE}{}:{digest}", self.prefix, self.tag)
    }

    /// Returns the key of the pieces of a module that is being registered for a version.
    pub(super) fn staged(self, digest: &ModuleDigest, function: FunctionId) -> String {
        format!("{}:{function}", self.module(digest))
    }
}

/// Distribution of keys, and their prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    prefix: &'static str,
    spread: Spread,
}

/// Spread of keys over servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// All on one.
    Whole,
    /// As the Cluster has the slots.
    Cluster,
    /// Over this number of servers.
    Shards(usize),
}

impl Layout {
    /// One place for all keys, and names without a tag.
    pub(super) const fn whole(prefix: Prefix) -> Self {
        Self { prefix: prefix.as_str(), spread: Spread::Whole }
    }

    /// Sixteen partitions of tasks, and one place for everything else.
    pub(super) const fn partitioned(prefix: Prefix) -> Self {
        Self { prefix: prefix.as_str(), spread: Spread::Cluster }
    }

    /// As [`Self::partitioned`], over servers without a Cluster.
    pub(super) const fn sharded(prefix: Prefix, servers: usize) -> Self {
        Self { prefix: prefix.as_str(), spread: Spread::Shards(servers) }
    }

    /// Returns the name of the layout's marker in a store on one server.
    pub(super) fn whole_marker(self) -> String {
        self.named(MARKER)
    }

    /// Returns true if there are partitions.
    pub(super) const fn is_partitioned(self) -> bool {
        !matches!(self.spread, Spread::Whole)
    }

    /// Returns true if a Cluster has the partitions.
    pub(super) const fn is_cluster(self) -> bool {
        matches!(self.spread, Spread::Cluster)
    }

    /// Returns the number of servers that are connected to on their own.
    pub(super) const fn servers(self) -> usize {
        match self.spread {
            Spread::Whole | Spread::Cluster => 1,
            Spread::Shards(servers) => servers,
        }
    }

    /// Returns the full name of an index without a tag, or of a channel.
    pub(super) fn named(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Returns the name of the claim of a server among several.
    pub(super) fn claim(self) -> String {
        self.named(SHARD)
    }

    /// Returns the place of a partition.
    const fn place(self, partition: usize) -> Place {
        let tag = if self.is_partitioned() { TAGS[partition] } else { "" };
        Place { prefix: self.prefix, tag, server: partition % self.servers() }
    }

    /// Returns the places with tasks.
    pub(super) fn places(self) -> impl Iterator<Item = Place> + Clone {
        let partitions = if self.is_partitioned() { PARTITIONS } else { 1 };
        (0..partitions).map(move |partition| self.place(partition))
    }

    /// Returns every place once.
    pub(super) fn all(self) -> impl Iterator<Item = Place> + Clone {
        self.places().chain(self.is_partitioned().then(|| self.shared()))
    }

    /// Returns the partition of a task: the low four bits of its id.
    pub(super) fn partition(self, task: TaskId) -> usize {
        if self.is_partitioned() { usize::from(task.as_bytes()[15] & 0x0f) } else { 0 }
    }

    /// Returns the place of a task.
    pub(super) fn of(self, task: TaskId) -> Place {
        self.place(self.partition(task))
    }

    /// Returns the place of a function's values and settings.
    pub(super) fn of_function(self, tenant: &TenantId, function: &FunctionName) -> Place {
        if !self.is_partitioned() {
            return self.shared();
        }
        let text = format!("{tenant}:{function}");
        self.place(library::hash(text.as_bytes()) as usize % PARTITIONS)
    }

    /// Returns the place of functions, tenants, API keys and workers.
    pub(super) const fn shared(self) -> Place {
        let tag = if self.is_partitioned() { SHARED_TAG } else { "" };
        Place { prefix: self.prefix, tag, server: 0 }
    }
}

/// Returns the end of each channel's name: the databases of one Redis share its channels, but not their tasks.
pub(super) fn channel_suffix(database: i64) -> String {
    match database {
        0 => String::new(),
        database => format!(":{database}"),
    }
}

#[cfg(test)]
mod tests;
