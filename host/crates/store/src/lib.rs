//! Storage of functions, modules and tasks, and the queue that leases attempts.
//!
//! A store has one small trait per capability: [`Functions`], [`Compiles`], [`Queue`], [`Tasks`], [`Jobs`], [`Kv`](kv::Kv), [`Identity`],
//! [`Fuel`], [`Usage`], [`Presence`] and [`Wakeups`]; [`Store`] is all of them. Each back end is a folder with a file per
//! trait, and one conformance suite holds them all to the same behaviour. The store owns the queue: it keeps ready indexes per tenant and
//! priority, and every step is atomic. It has no access to HTTP, workers' sockets or wasm.
//!
//! Every store guarantees:
//! * An answer is returned only after the change that it reports is durable.
//! * Records change only through `fusebox_core::lifecycle`.
//! * Every end of a task goes through one routine: record, time to live, counters, wake-up.
//! * Records of other tenants look absent.

use async_trait::async_trait;
use fusebox_core::time::Millis;

pub use fusebox_core::dispatch::Mode;

mod compiles;
#[cfg(test)]
mod conformance;
pub mod embedded;
mod error;
mod find;
mod fuel;
mod functions;
mod hints;
pub mod identity;
mod jobs;
pub mod kv;
mod layout;
mod new_task;
mod options;
mod packed;
mod page;
mod presence;
mod queue;
pub mod redis;
mod tasks;
mod usage;
mod wakeups;

pub use fusebox_core::{
    room::{Holdings, Room},
    scope::Scope,
    selection::{Order, Runs, Selection},
};

pub use self::{
    compiles::{Compile, Compiles},
    error::Error,
    find::{FIND_TASKS_MAX, Find},
    fuel::Fuel,
    functions::{FunctionRef, Functions, NewFunction, Registered},
    identity::{
        Acted, Acting, Cleared, Denied, Identity, Key, KeyAdded, KeyId, KnownKey, NewKey, Replaced, SecretDigest,
        Tenant, TenantAdded,
    },
    jobs::{Act, JOBS_KEPT_MAX, JOBS_OPEN_MAX, Job, JobAdded, JobState, Jobs},
    layout::migrate::Migrated,
    new_task::{Accepted, Expects, NewTask, TaskRequest},
    options::Options,
    page::{Page, PageRequest},
    presence::{Crew, Presence, WorkerInfo},
    queue::{
        Backlog, Cancelled, Claim, Finish, Finished, LeaseRequest, LeasedTask, Purged, Queue, Renewal, Ticked, Verdict,
    },
    tasks::{TaskResult, Tasks},
    usage::Usage,
    wakeups::{Hint, Ready, ReadyHint, Wakeups},
};

/// Result of a store's call.
pub type Result<T> = std::result::Result<T, Error>;

/// Store with all its capabilities. See the crate's documentation for its guarantees.
#[async_trait]
pub trait Store:
    Functions + Compiles + Queue + Tasks + Jobs + kv::Kv + Identity + Fuel + Usage + Presence + Wakeups
{
    /// Checks that the store answers.
    ///
    /// # Errors
    /// Fails if it does not, see [`Error`].
    async fn check(&self) -> Result<()>;
    /// Returns the store's time, used by every step.
    ///
    /// # Errors
    /// Fails if the store cannot be reached or a record cannot be read, see [`Error`].
    async fn now(&self) -> Result<Millis>;
}
