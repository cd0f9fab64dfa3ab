//! The deployment under measurement: a private cluster started for it, or a running server.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use fusebox_api::functions::LimitParams;
use fusebox_client::Credentials;
use fusebox_core::{function::Grants, limits::OUTPUT_BYTES_DEFAULT};

use super::{
    beside::{Beside, Stored},
    guests::{self, Function, Work},
    http::{Call, Target},
    plan::{Case, Setting, StoreKind},
};
use crate::cluster::{Cluster, Fsync, Mode, Rigged, Role, Shape};
use fusebox_client::Client;

/// Longest time until workers are listed, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Interval of polling; hosts update their list of workers once a second.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Wall time allowed beyond the ideal time of a sleeping or computing function.
const WALL_MS: u32 = 60_000;

/// A deployment that is ready. Dropping it ends the processes started for it.
pub(super) struct Deployment {
    pub(super) client: Client,
    pub(super) target: Target,
    /// Registered version of each function.
    pub(super) functions: BTreeMap<Function, String>,
    /// Setting of the deployment.
    pub(super) setting: Setting,
    /// Tasks that stay queued throughout the measurements.
    pub(super) waiting: u64,
    cluster: Option<Cluster>,
}

/// Source of a deployment.
#[derive(Clone, Debug)]
pub(super) enum Source {
    /// This program is started, with its data in this directory.
    Private { program: PathBuf, home: PathBuf },
    /// A server is already running, possibly with API keys.
    Server(String, Option<Credentials>),
}

impl Deployment {
    /// Starts the deployment, or connects to the server.
    ///
    /// # Errors
    /// Fails if a part does not start, or no workers are there.
    pub(super) async fn of(source: &Source, setting: Setting, number: usize) -> anyhow::Result<Self> {
        let (url, key, cluster) = match source {
            Source::Server(url, key) => (url.clone(), key.as_ref(), None),
            Source::Private { program, home } => {
                let shape = shape(setting, program, home, number)?;
                let cluster = Cluster::start(&shape).await?;
                let url = cluster.urls.first().context("a cluster has a REST node")?.clone();
                (url, None, Some(cluster))
            }
        };
        let client = Client::build(&url, None, key)?;
        let setting = workers(&client, setting).await?;
        let target = Target::new(&url, key)?;
        Ok(Self { client, target, functions: BTreeMap::new(), setting, waiting: 0, cluster })
    }

    /// Registers the functions of these cases.
    ///
    /// # Errors
    /// Fails if the host refuses a registration.
    pub(super) async fn register(&mut self, cases: &[Case]) -> anyhow::Result<()> {
        let payload = cases.iter().map(|case| case.payload as u64).max().unwrap_or_default();
        let limits = LimitParams {
            wall_ms: Some(WALL_MS),
            output_bytes: Some(payload.max(OUTPUT_BYTES_DEFAULT)),
            ..LimitParams::default()
        };
        let functions: BTreeSet<Function> = cases.iter().map(|case| case.function).collect();
        for function in functions {
            let version =
                self.client.register(&function.name(), limits, &Grants::default(), function.module().to_vec()).await?;
            self.functions.insert(function, version.id);
        }
        Ok(())
    }

    /// Registers one function with the default limits.
    ///
    /// # Errors
    /// Fails if the host refuses it.
    pub(super) async fn register_plain(&mut self, function: Function) -> anyhow::Result<()> {
        let module = function.module().to_vec();
        let version =
            self.client.register(&function.name(), LimitParams::default(), &Grants::default(), module).await?;
        self.functions.insert(function, version.id);
        Ok(())
    }

    /// Returns the processes that serve REST or dispatch, by role and process id.
    ///
    /// # Errors
    /// Fails if one of them has ended.
    pub(super) async fn host_processes(&self) -> anyhow::Result<Vec<(String, u32)>> {
        let cluster = self.cluster.as_ref().context("the processes of a given server are unknown")?;
        let mut processes = Vec::new();
        for part in cluster.parts().filter(|part| !matches!(part.role, Role::Redis | Role::Worker)) {
            let id = cluster.process(part)?.lock().await.id().with_context(|| format!("{part} is gone"))?;
            processes.push((part.role.as_str().to_owned(), id));
        }
        Ok(processes)
    }

    /// Returns the request for the host's metrics, which hold the number of tasks that have not ended.
    ///
    /// # Errors
    /// Never fails: the path is valid.
    pub(super) fn backlog_call() -> anyhow::Result<Call> {
        Call::get("/metrics")
    }

    /// Returns the request that a case repeats.
    ///
    /// # Errors
    /// Never fails: the names are valid.
    pub(super) fn call(case: &Case, route: &str, work: Work) -> anyhow::Result<Call> {
        let path = format!("/v1/functions/{}/{route}", case.function.name());
        Call::post(&path, case.function.input(work, case.payload))
    }

    /// Returns one such request for each function that a case calls in turn.
    ///
    /// # Errors
    /// Fails as [`Deployment::call`] does.
    pub(super) fn calls(case: &Case, route: &str, work: Work) -> anyhow::Result<Vec<Call>> {
        match case.beside {
            Some(Beside { stored: Stored::Functions, called, .. }) => {
                let path = |number| format!("/v1/functions/{}/{route}", guests::numbered(number));
                (0..called).map(|number| Call::post(&path(number), case.function.input(work, case.payload))).collect()
            }
            _ => Ok(vec![Self::call(case, route, work)?]),
        }
    }
}

fn shape(setting: Setting, program: &Path, home: &Path, number: usize) -> anyhow::Result<Shape> {
    let home = home.join(number.to_string());
    std::fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
    let workers = if setting.mode == Mode::Local { 1 } else { setting.workers };
    let slots = match setting.mode {
        // Local mode's workers are slots of one process.
        Mode::Local => u32::from(setting.workers) * setting.slots,
        Mode::Push | Mode::Pull => setting.slots,
    };
    Ok(Shape {
        program: program.to_owned(),
        mode: setting.mode,
        redis: (setting.store == StoreKind::Redis).then_some(Fsync::Everysec),
        nodes: u8::from(!setting.is_up),
        workers,
        slots,
        // Shared, so that each module is compiled once.
        modules: Some(home.join("modules")),
        rigged: Rigged::default(),
        home,
    })
}

/// Waits until all workers are listed. Returns the setting; for a server, the one found there.
async fn workers(client: &Client, setting: Setting) -> anyhow::Result<Setting> {
    let wanted = match (setting.store, setting.mode) {
        (StoreKind::Server, _) | (_, Mode::Local) => 1,
        _ => usize::from(setting.workers),
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = client.workers().await?;
        if there.len() >= wanted {
            let Some(first) = there.first().filter(|_| setting.store == StoreKind::Server) else {
                return Ok(setting);
            };
            let mode = match first.mode {
                fusebox_core::dispatch::Mode::Local => Mode::Local,
                fusebox_core::dispatch::Mode::Push => Mode::Push,
                fusebox_core::dispatch::Mode::Pull => Mode::Pull,
            };
            let workers = u8::try_from(there.len()).unwrap_or(u8::MAX);
            return Ok(Setting { mode, workers, slots: first.slots, ..setting });
        }
        anyhow::ensure!(Instant::now() < deadline, "only {} of {wanted} workers have joined", there.len());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
