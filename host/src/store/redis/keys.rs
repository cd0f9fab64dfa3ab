//! Every name that the store gives to a key or a channel in Redis. One file, so that no two kinds of key can collide and
//! what is found in Redis can be read. The functions in `library` are told these names. Knows no record's content.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `task:<id>` | hash | a task; its `record` is the truth about it |
//! | `function:<id>` | hash | a function version and its module's bytes |
//! | `fusebox:ready:<tenant>:<priority>` | sorted set | tasks that may be leased; by the time they were accepted |
//! | `fusebox:lines` | sorted set | tenants and priorities that tasks wait of; by when the first of them expires |
//! | `fusebox:due` | sorted set | delayed and running tasks; by when they are due, expire, or lose their lease |
//! | `fusebox:ended` | list | what is to be forgotten of ended tasks, the first to be forgotten first |
//! | `fusebox:tasks:<tenant>` `fusebox:dead:<tenant>` | sorted sets | a tenant's tasks and dead letters; padded time, id |
//! | `fusebox:counters:<tenant>` | hash | delayed tasks and leased attempts |
//! | `fusebox:tenants` | set | tenants that may have work |
//! | `fusebox:versions:<tenant>:<name>` | sorted set | ids of a name's versions; by their number |
//! | `fusebox:names:<tenant>` | sorted set | names; in the order of their bytes |
//! | `fusebox:numbers:<tenant>` | hash | the last version number given to each name; kept for ever |
//! | `fusebox:version_counts` | hash | versions of each tenant |
//! | `fusebox:module_bytes` | hash | wasm bytes of each tenant's versions together |
//! | `fusebox:fuel:<tenant>` | hash | fuel that its runs may reserve, and when that was so; absent where it is full |
//! | `fusebox:module:<digest>` | sorted set | ids of versions whose payload is the module; by how long they stay |
//! | `fusebox:accounts` | hash | each tenant's record |
//! | `fusebox:key:<id>` | hash | an API key; of its secret, the SHA-256 |
//! | `fusebox:keys:<tenant>` | set | ids of a tenant's API keys |
//! | `fusebox:store` | string | a random id: who finds another one, or none, knows that the store was emptied |
//! | `fusebox:keyed` | string | there where an API key has ever been made: then requests need one |
//! | `fusebox:values:<tenant>:<name>` | hash | values of a function's namespace, each with its revision and its end |
//! | `fusebox:value_ends:<tenant>:<name>` | sorted set | keys of those that have an end; by their end |
//! | `fusebox:value_counts:<tenant>:<name>` | hash | the last revision given, kept for ever, and the bytes |
//! | `fusebox:config:<tenant>:<name>` `fusebox:secrets:<tenant>:<name>` | hashes | settings; secrets are sealed |
//! | `fusebox:dispatchers` | sorted set | dispatchers that have announced workers; by until when |
//! | `fusebox:dispatcher:<id>` | string | its workers |
//!
//! Where the store has a prefix, each of these and each channel starts with it and a colon: `acme:task:<id>`.
//!
//! On a Cluster the first word is followed by a hash tag: `task{p0c}:<id>`. What concerns a task is in the slot of its
//! partition, so that one function call reaches all of it; functions, keys and workers are in one slot of their own;
//! what a function keeps is in the slot of the partition that its tenant and name make.

use fusebox_core::{
    id::{FunctionId, ModuleDigest, TaskId},
    name::{FunctionName, TenantId},
};

use super::{access::Prefix, library};
use crate::store::kv::SettingKind;

const TASK: &str = "task";
const FUNCTION: &str = "function";
const DUE: &str = "fusebox:due";
const MODULE: &str = "fusebox:module";
const NAMES: &str = "fusebox:names";
const ACCOUNTS: &str = "fusebox:accounts";
const KEYED: &str = "fusebox:keyed";
const STORE: &str = "fusebox:store";

/// The names as the library knows them.
pub(super) const CONSTANTS: [(&str, &str); 33] = [
    ("TASK", TASK),
    ("FUNCTION", FUNCTION),
    ("READY", "fusebox:ready"),
    ("DUE", DUE),
    ("LINES", "fusebox:lines"),
    ("ENDED", "fusebox:ended"),
    ("TASKS", TASKS),
    ("DEAD", DEAD),
    ("COUNTERS", "fusebox:counters"),
    ("TENANTS", "fusebox:tenants"),
    ("VERSIONS", "fusebox:versions"),
    ("NAMES", NAMES),
    ("NUMBERS", "fusebox:numbers"),
    ("VERSION_COUNTS", "fusebox:version_counts"),
    ("MODULE_BYTES", "fusebox:module_bytes"),
    ("FUEL", "fusebox:fuel"),
    ("MODULE", MODULE),
    ("ACCOUNTS", ACCOUNTS),
    ("API_KEY", "fusebox:key"),
    ("API_KEYS", "fusebox:keys"),
    ("KEYED", KEYED),
    ("STORE", STORE),
    ("VALUES", "fusebox:values"),
    ("VALUE_ENDS", "fusebox:value_ends"),
    ("VALUE_COUNTS", "fusebox:value_counts"),
    ("DISPATCHERS", "fusebox:dispatchers"),
    ("DISPATCHER", "fusebox:dispatcher"),
    ("CHANGED", CHANGED_CHANNEL),
    ("ENDED_CHANNEL", ENDED_CHANNEL),
    ("READY_CHANNEL", READY_CHANNEL),
    ("CANCELLED_CHANNEL", CANCELLED_CHANNEL),
    ("IDENTITY_CHANNEL", IDENTITY_CHANNEL),
    ("SEED_CHANNEL", SEED_CHANNEL),
];

/// A tenant's tasks.
pub(super) const TASKS: &str = "fusebox:tasks";
/// A tenant's dead letters.
pub(super) const DEAD: &str = "fusebox:dead";

/// Each accepted task's id, as the Python platform published it: for old tools, nothing here listens.
pub(super) const SEED_CHANNEL: &str = "Tasks";
/// Ids of tasks that started or wait again.
pub(super) const CHANGED_CHANNEL: &str = "fusebox:changed";
/// Ids of tasks that ended.
pub(super) const ENDED_CHANNEL: &str = "fusebox:ended";
/// Says that a task may be leased.
pub(super) const READY_CHANNEL: &str = "fusebox:ready";
/// Ids of tasks that were cancelled while they ran.
pub(super) const CANCELLED_CHANNEL: &str = "fusebox:cancelled";
/// Says that a tenant or an API key has changed.
pub(super) const IDENTITY_CHANNEL: &str = "fusebox:identity";

/// Hash tags of the partitions: the letters are chosen so that each has its own sixteenth of the slots, and a Cluster of
/// any size gets its even share of them.
const TAGS: [&str; 16] = [
    "{p0c}", "{p1ab}", "{p2bb}", "{p3ba}", "{p4db}", "{p5da}", "{p6d}", "{p7fa}", "{p8fd}", "{p9fc}", "{p10c}",
    "{p11dc}", "{p12fa}", "{p13fb}", "{p14ac}", "{p15ad}",
];
const SHARED_TAG: &str = "{fusebox}";

/// Where keys that one call reaches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    prefix: &'static str,
    tag: &'static str,
}

impl Place {
    /// The hash tag; empty where there is one place only.
    pub(super) const fn tag(self) -> &'static str {
        self.tag
    }

    /// A key by which a call to this place is routed.
    pub(super) fn route(self) -> String {
        format!("{}{DUE}{}", self.prefix, self.tag)
    }

    /// A function version's record.
    pub(super) fn function(self, function: FunctionId) -> String {
        format!("{}{FUNCTION}{}:{function}", self.prefix, self.tag)
    }

    /// A task's record.
    pub(super) fn task(self, task: TaskId) -> String {
        format!("{}{TASK}{}:{task}", self.prefix, self.tag)
    }

    /// The tenants' records.
    pub(super) fn accounts(self) -> String {
        format!("{}{ACCOUNTS}{}", self.prefix, self.tag)
    }

    /// Where an API key has ever been made.
    pub(super) fn keyed(self) -> String {
        format!("{}{KEYED}{}", self.prefix, self.tag)
    }

    /// The store's id.
    pub(super) fn store(self) -> String {
        format!("{}{STORE}{}", self.prefix, self.tag)
    }

    /// A function's settings of a kind.
    pub(super) fn settings(self, kind: SettingKind, tenant: &TenantId, function: &FunctionName) -> String {
        let kind = match kind {
            SettingKind::Config => "fusebox:config",
            SettingKind::Secret => "fusebox:secrets",
        };
        format!("{}{kind}{}:{tenant}:{function}", self.prefix, self.tag)
    }

    /// Versions whose payload is a module.
    pub(super) fn module(self, digest: &ModuleDigest) -> String {
        format!("{}{MODULE}{}:{digest}", self.prefix, self.tag)
    }
}

/// How keys are spread, and what all of them start with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    prefix: &'static str,
    is_partitioned: bool,
}

impl Layout {
    /// One place for everything, and names without a tag.
    pub(super) const fn whole(prefix: Prefix) -> Self {
        Self { prefix: prefix.as_str(), is_partitioned: false }
    }

    /// Sixteen partitions of tasks.
    pub(super) const fn partitioned(prefix: Prefix) -> Self {
        Self { prefix: prefix.as_str(), is_partitioned: true }
    }

    /// Whether there are partitions.
    pub(super) const fn is_partitioned(self) -> bool {
        self.is_partitioned
    }

    /// A name as it is in Redis: of an index without a tag, or of a channel.
    pub(super) fn named(self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    const fn place(self, tag: &'static str) -> Place {
        Place { prefix: self.prefix, tag }
    }

    /// Where tasks are.
    pub(super) fn places(self) -> impl Iterator<Item = Place> + Clone {
        let tags = if self.is_partitioned { &TAGS[..] } else { &[""][..] };
        tags.iter().map(move |tag| self.place(tag))
    }

    /// Every place, each once.
    pub(super) fn all(self) -> impl Iterator<Item = Place> + Clone {
        self.places().chain(self.is_partitioned.then(|| self.shared()))
    }

    /// Which of the places a task is in: the low four bits of its id.
    pub(super) fn partition(self, task: TaskId) -> usize {
        if self.is_partitioned { usize::from(task.as_bytes()[15] & 0x0f) } else { 0 }
    }

    /// Where a task is.
    pub(super) fn of(self, task: TaskId) -> Place {
        self.place(if self.is_partitioned { TAGS[self.partition(task)] } else { "" })
    }

    /// Where what a function keeps is.
    pub(super) fn of_function(self, tenant: &TenantId, function: &FunctionName) -> Place {
        if !self.is_partitioned {
            return self.place("");
        }
        let text = format!("{tenant}:{function}");
        self.place(TAGS[library::hash(text.as_bytes()) as usize % TAGS.len()])
    }

    /// Where functions, tenants, API keys and workers are.
    pub(super) const fn shared(self) -> Place {
        self.place(if self.is_partitioned { SHARED_TAG } else { "" })
    }
}

/// What follows a channel's name: databases of one Redis share its channels, but not their tasks.
pub(super) fn channel_suffix(database: i64) -> String {
    match database {
        0 => String::new(),
        database => format!(":{database}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_the_names_of_the_python_platform() {
        let id = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";
        assert_eq!(
            Layout::whole(Prefix::default()).of(id.parse().unwrap()).task(id.parse().unwrap()),
            format!("task:{id}")
        );
        assert_eq!(Layout::whole(Prefix::default()).shared().function(id.parse().unwrap()), format!("function:{id}"));
    }

    #[test]
    fn a_prefix_stands_before_every_name_and_changes_no_slot() {
        let prefix = "acme".parse().unwrap();
        let task = TaskId::from_bytes([7; 16]);
        for (bare, prefixed) in [
            (Layout::whole(Prefix::default()), Layout::whole(prefix)),
            (Layout::partitioned(Prefix::default()), Layout::partitioned(prefix)),
        ] {
            let names =
                |layout: Layout| [layout.of(task).task(task), layout.shared().store(), layout.named(READY_CHANNEL)];
            assert_eq!(names(prefixed), names(bare).map(|name| format!("acme:{name}")));
            assert_eq!(prefixed.of(task).tag(), bare.of(task).tag());
        }
    }

    #[test]
    fn the_low_bits_of_a_tasks_id_choose_its_partition() {
        let mut bytes = [0; 16];
        for partition in 0..16 {
            bytes[15] = 0xa0 | partition;
            let task = TaskId::from_bytes(bytes);
            assert_eq!(Layout::partitioned(Prefix::default()).partition(task), usize::from(partition));
            let place = Layout::partitioned(Prefix::default()).of(task);
            assert_eq!(place.tag(), TAGS[usize::from(partition)]);
            assert!(place.task(task).starts_with(&format!("task{}:", place.tag())));
        }
    }
}
