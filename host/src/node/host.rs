//! A whole host in one process: store, REST, dispatcher and slots. A composition root: wiring only.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use fusebox_core::{dispatch::Mode, function::RunLimits, id::Attempt, keep::Keep, time::Millis};
use fusebox_sandbox::ModuleLimits;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    compilations::Compilations,
    dispatch::{driver::Workers, missing::MissingModules, short::SlotInvoker, store_calls::StoreHostCalls},
    modules::Modules,
    node::{
        admin::{AdminArgs, OwnVitals},
        dispatching::{DispatchArgs, Dispatching, Parts},
        egress::EgressArgs,
        parts::{self, StoreAddress},
        slot::IsolateArgs,
        store::ServerStoreArgs,
        web::{self, WebArgs},
    },
    pickles::PickleArgs,
    rest::{self, App, RestSettings, jobs::Runner, quota::Meter, room::Room, waiting::Outlook},
    scripts::{Scripts, find::RuntimeArgs},
    secrets::SecretsKey,
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{FuelMeter, Gate, QuotaBook, audit::Denials},
    worker::slots::Slots,
};
use fusebox_system::{clock::Clock, random};

/// Settings of a host.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Address of REST; any but loopback requires API keys.
    pub listen: SocketAddr,
    /// TLS, cross-origin requests and connections.
    pub web: WebArgs,
    /// Listener for health and metrics.
    pub admin: AdminArgs,
    /// Store of functions and tasks.
    pub store: StoreAddress,
    /// Options of the store.
    pub reach: ServerStoreArgs,
    /// Directory of compiled modules.
    pub data: PathBuf,
    /// Runtimes of scripts.
    pub scripts: RuntimeArgs,
    /// Modules and the default version of pickled functions.
    pub pickles: PickleArgs,
    /// File of the key of secrets; created if missing.
    pub secrets_key: PathBuf,
    /// How workers receive attempts.
    pub mode: Mode,
    /// The port of workers in other processes.
    pub workers: DispatchArgs,
    /// Outgoing HTTP requests of functions.
    pub egress: EgressArgs,
    /// Number of slots, that is of concurrent runs.
    pub slots: u32,
    /// Isolation of runs.
    pub isolation: IsolateArgs,
    /// Limits of functions that state none.
    pub limits: RunLimits,
    /// Largest limits that a function may request.
    pub ceiling: RunLimits,
    /// Limits of modules.
    pub modules: ModuleLimits,
    /// Limit of attempts per task.
    pub attempts_max: Attempt,
    /// Retention of ended tasks.
    pub keep: Keep,
    /// Time for which a draining host still accepts new connections.
    pub drain_delay: Duration,
}

/// A running host.
pub struct Host {
    url: String,
    functions: Option<SocketAddr>,
    health: Option<SocketAddr>,
    /// Names of the runtimes of scripts.
    runtimes: String,
    stop: CancellationToken,
    readiness: Readiness,
    drain_delay: Duration,
    rest: JoinHandle<()>,
    dispatching: Dispatching,
    /// Declared last, so that it is dropped after everything that uses it.
    _slots: Arc<Slots>,
}

impl Host {
    /// Starts a host. It is ready when this returns.
    ///
    /// # Errors
    /// Fails if it cannot start: the address or the store is in use, or not allowed.
    #[expect(clippy::too_many_lines, reason = "the wiring of a whole host, without a decision")]
    pub async fn start(options: HostOptions) -> anyhow::Result<Self> {
        let clock = Clock::System.steady(Millis(0));
        let tls = options.web.tls()?;
        let store = options.reach.open(&options.store, &clock).await?;
        let gate = Gate::new(store.clone());
        let listeners = options.web.bind(options.listen, &gate, &options.store).await?;
        let url = format!("{}://{}", web::scheme(tls.is_some()), listeners.address);
        let functions = listeners.functions_address;
        let runtimes = options.scripts.find(&options.data)?;
        let pickles = options.pickles.settings(&runtimes)?;
        let sandbox = parts::sandbox(&options.data, options.slots, options.ceiling, options.modules)?;
        let metrics = Arc::new(Metrics::new(options.slots));
        let modules = Modules::new(sandbox.clone(), metrics.clone());
        let missing = MissingModules { store: store.clone(), modules: modules.clone() };
        let secrets = SecretsKey::read_or_make(&options.secrets_key)?;
        let quotas = QuotaBook::open(store.clone(), options.keep).await;
        let host_calls = StoreHostCalls::new(store.clone(), Some(secrets.clone()), quotas.clone());
        let worker = random::worker_id(clock.now());
        let asked = parts::host_calls(host_calls.clone(), Arc::new(options.egress.start(&metrics)?));
        options.isolation.warn_where_shared(store.has_keys().await?);
        let runner = options.isolation.runner(&sandbox, options.slots, options.ceiling)?;
        let slots = Arc::new(Slots::start(options.slots, runner, asked, worker, &Clock::System, &metrics)?);
        let (stop, readiness) = (CancellationToken::new(), Readiness::new());
        let health = options.admin.start(OwnVitals::new(&store, &metrics, &readiness))?;
        tokio::spawn(gate.follow(stop.clone()));
        let own = Parts {
            store: store.clone(),
            clock: clock.clone(),
            host_calls,
            metrics: metrics.clone(),
            quotas: quotas.clone(),
            readiness: readiness.clone(),
            stop: stop.clone(),
        };
        let dispatching = match options.mode {
            Mode::Local => {
                let workers = Workers::Local { slots: slots.clone(), missing: missing.clone() };
                Dispatching::local(own, workers, &options.workers)
            }
            remote => Dispatching::remote(own, remote, Some(modules.clone()), &options.workers).await?,
        };
        let fuel = FuelMeter::new(store.clone(), quotas.clone());
        let compilations = Compilations::new(store.clone(), modules.clone(), quotas.clone());
        tokio::spawn(compilations.clone().follow(stop.clone()));
        let jobs = Runner::new(store.clone(), quotas.clone(), options.attempts_max, metrics.clone());
        tokio::spawn(jobs.clone().follow(stop.clone()));
        tokio::spawn(runtimes.clone().prepare(modules.clone(), stop.clone()));
        let names = runtimes.names();
        let invoker = Arc::new(SlotInvoker { slots: slots.clone(), missing, fuel });
        let app = App {
            gate,
            store,
            modules,
            compilations,
            scripts: Scripts { runtimes, checks: Some(invoker.clone()) },
            invoker,
            meter: Meter::new(quotas),
            clock,
            metrics,
            readiness: readiness.clone(),
            secrets: Some(secrets),
            denials: Denials::default(),
            jobs,
            outlook: Outlook::default(),
            room: Room::default(),
            closing: stop.clone(),
            settings: RestSettings {
                limits: options.limits,
                ceiling: options.ceiling,
                module_bytes_max: options.modules.bytes,
                upload_dir: options.data,
                pickles,
                attempts_max: options.attempts_max,
                cors: options.web.cors(),
                is_tls: tls.is_some(),
            },
        };
        let rest = tokio::spawn(options.web.serve(listeners, tls, rest::router(app), stop.clone()));
        readiness.ready();
        Ok(Self {
            url,
            functions,
            health,
            runtimes: names,
            stop,
            readiness,
            drain_delay: options.drain_delay,
            rest,
            dispatching,
            _slots: slots,
        })
    }

    /// Address of REST.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the address of the listener of functions alone.
    #[must_use]
    pub fn functions_address(&self) -> Option<SocketAddr> {
        self.functions
    }

    /// Returns the address of the listener for health and metrics alone.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.health
    }

    /// Returns the names of the runtimes of scripts, separated by commas.
    #[must_use]
    pub fn runtimes(&self) -> &str {
        &self.runtimes
    }

    /// Where workers of other processes come in.
    #[must_use]
    pub fn workers_address(&self) -> Option<SocketAddr> {
        self.dispatching.address()
    }

    /// Waits until a part of the host ends by itself, which is a fault; returns its name.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.rest => "REST",
            part = self.dispatching.broken() => part,
        }
    }

    /// Drains the host: it reports not ready at once; after the drain's delay it accepts no new connections, answers
    /// pending waits, and lets running attempts end or gives them back.
    pub async fn drain(self) {
        self.readiness.draining();
        tokio::time::sleep(self.drain_delay).await;
        self.stop.cancel();
        let (rest, ()) = tokio::join!(self.rest, self.dispatching.drained());
        if let Err(error) = rest {
            tracing::error!(%error, "REST failed");
        }
    }
}
