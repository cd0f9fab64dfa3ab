//! State that the handlers share, and the settings of an operator.

use std::{path::PathBuf, sync::Arc};

use fusebox_core::{function::RunLimits, id::Attempt};
use fusebox_store::Store;
use fusebox_system::clock::Clock;
use tokio_util::sync::CancellationToken;

use super::{cors::Cors, jobs::Runner, quota::Meter, room::Room, waiting::Outlook};
use crate::{
    compilations::Compilations,
    invoke::Invoker,
    modules::Modules,
    pickles::PickleSettings,
    scripts::Scripts,
    secrets::SecretsKey,
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{Gate, audit::Denials},
};

/// State shared by the handlers.
pub struct App {
    /// Functions, tasks, tenants and keys.
    pub store: Arc<dyn Store>,
    /// Checks and compiles modules.
    pub modules: Modules,
    /// Compiles versions after their registration, within tenants' compile time.
    pub compilations: Compilations,
    /// Runtimes of scripts, and where scripts are checked.
    pub scripts: Scripts,
    /// Runs synchronous invocations.
    pub invoker: Arc<dyn Invoker>,
    /// Authenticates and authorizes requests.
    pub gate: Gate,
    /// Source of time.
    pub clock: Clock,
    /// Counters and histograms of this process.
    pub metrics: Arc<Metrics>,
    /// Readiness, as `/readyz` reports it.
    pub readiness: Readiness,
    /// Key that seals secrets. Without one, requests to set a secret are refused.
    pub secrets: Option<SecretsKey>,
    /// Rates per tenant, enforced in this node.
    pub meter: Meter,
    /// Refusals for lack of scope, for the audit log.
    pub denials: Denials,
    /// Performs acts on many tasks.
    pub jobs: Arc<Runner>,
    /// Reasons for which tasks are queued.
    pub outlook: Outlook,
    /// Bounds on what concurrent requests use together.
    pub room: Room,
    /// Cancelled when the node stops serving; pending waits and streams then end.
    pub closing: CancellationToken,
    /// Settings that an operator chooses.
    pub settings: RestSettings,
}

/// Settings that an operator chooses.
#[derive(Clone, Debug)]
pub struct RestSettings {
    /// Limits of functions registered without limits.
    pub limits: RunLimits,
    /// Largest limits that a function may be registered with.
    pub ceiling: RunLimits,
    /// Largest module that may be registered, in bytes, after its decompression.
    pub module_bytes_max: u64,
    /// Directory of large modules while they arrive, in files without a name.
    pub upload_dir: PathBuf,
    /// Modules and the default version of pickled functions.
    pub pickles: PickleSettings,
    /// Number of attempts of a task before it fails for good.
    pub attempts_max: Attempt,
    /// Origins whose web pages may read responses.
    pub cors: Cors,
    /// True if connections use TLS.
    pub is_tls: bool,
}

/// State as the handlers receive it.
pub type Shared = Arc<App>;
