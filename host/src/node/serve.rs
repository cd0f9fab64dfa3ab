//! `fusebox serve`: a REST node over Redis, until a signal drains it. Any number of nodes may serve one store, beside
//! dispatchers and workers.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use fusebox_core::{function::RunLimits, time::Millis};
use fusebox_ui as ui;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    compilations::Compilations,
    dispatch::{crew::CrewWatch, stored::StoredInvoker},
    modules::Modules,
    node::args::{AttemptArgs, KeepArgs, LimitArgs, MaxArgs, SecretsArgs},
    node::{
        admin::{self, AdminArgs, OwnVitals},
        checks, parts,
        signals::Signals,
        store::SharedStoreArgs,
        web::{self, WebArgs},
    },
    pickles::PickleArgs,
    rest::{self, App, RestSettings, jobs::Runner, quota::Meter, room::Room, waiting::Outlook},
    scripts::{Scripts, find::RuntimeArgs},
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::{Gate, QuotaBook, audit::Denials},
};
use fusebox_system::clock::Clock;

/// Settings of a REST node.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fusebox serve &  fusebox dispatcher -m push &  fusebox push-worker 4 tcp://127.0.0.1:5555 &
Without API keys it listens on loopback only and refuses requests that a web page could have sent; with them,
which `fusebox keys` makes, every request needs one.")]
pub struct ServeArgs {
    /// Address of REST; any but loopback requires API keys
    #[arg(long, env = "FUSEBOX_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// The store.
    #[command(flatten)]
    pub shared: SharedStoreArgs,
    /// Directory of compiled modules; created if missing
    #[arg(long, env = "FUSEBOX_DATA", default_value = "fusebox-data", value_name = "DIR")]
    pub data: PathBuf,
    /// TLS, cross-origin requests and connections.
    #[command(flatten)]
    pub web: WebArgs,
    /// Time after SIGTERM in which new connections are still accepted, while `/readyz` reports the drain to load
    /// balancers
    #[arg(long, env = "FUSEBOX_DRAIN_DELAY", default_value = "5s", value_parser = web::delay, value_name = "TIME")]
    pub drain_delay: Duration,
    /// Listener for health and metrics.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Key of secrets.
    #[command(flatten)]
    pub secrets: SecretsArgs,
    /// Runtimes of scripts.
    #[command(flatten)]
    pub scripts: RuntimeArgs,
    /// Pickled functions.
    #[command(flatten)]
    pub pickles: PickleArgs,
    /// Limit of attempts per task.
    #[command(flatten)]
    pub attempts: AttemptArgs,
    /// Retention of ended tasks.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Limits of functions that state none.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Largest limits that a function may request.
    #[command(flatten)]
    pub most: MaxArgs,
}

/// Serves until a signal, then drains.
///
/// # Errors
/// Fails if it cannot start: the address is in use or not allowed, or Redis cannot be reached.
#[expect(clippy::too_many_lines, reason = "the wiring of a whole node, without a decision")]
pub async fn run(args: ServeArgs) -> anyhow::Result<()> {
    let ceiling = args.most.ceiling()?;
    let limits = args.limits.params().complete(RunLimits::default().capped(&ceiling), &ceiling);
    limits.check(&ceiling)?;
    parts::allow_open_files();
    let mut signals = Signals::listen()?;
    let tls = args.web.tls()?;
    let secrets = args.secrets.read()?;
    let clock = Clock::System.steady(Millis(0));
    let Some(store) = signals.or(Box::pin(args.shared.open(&clock))).await else { return Ok(()) };
    let store = store?;
    let gate = Gate::new(store.clone());
    let listeners = args.web.bind(args.listen, &gate, &args.shared.store).await?;
    let (address, functions) = (listeners.address, listeners.functions_address);
    let module_limits = args.most.modules()?;
    // Compiles registered modules but runs nothing: the smallest pool is enough.
    let runtimes = args.scripts.find(&args.data)?;
    let pickles = args.pickles.settings(&runtimes)?;
    let sandbox = parts::sandbox(&args.data, 1, ceiling, module_limits)?;
    let metrics = Arc::new(Metrics::new(0));
    let readiness = Readiness::new();
    let stop = CancellationToken::new();
    let health = args.admin.start(OwnVitals::new(&store, &metrics, &readiness))?;
    tokio::spawn(crate::skew::watch(store.clone(), Clock::System, metrics.clone(), stop.clone()));
    tokio::spawn(crate::loss::watch(store.clone(), metrics.clone(), stop.clone()));
    tokio::spawn(gate.follow(stop.clone()));
    let quotas = QuotaBook::open(store.clone(), args.keep.keep()).await;
    let crew = CrewWatch::new(store.clone());
    let modules = Modules::new(sandbox.clone(), metrics.clone());
    let checks = checks::start(&runtimes, sandbox, ceiling, &store, &modules, &quotas, &metrics);
    tokio::spawn(runtimes.clone().prepare(modules.clone(), stop.clone()));
    let names = runtimes.names();
    let compilations = Compilations::new(store.clone(), modules.clone(), quotas.clone());
    let jobs = Runner::new(store.clone(), quotas.clone(), args.attempts.attempts_max, metrics.clone());
    tokio::spawn(jobs.clone().follow(stop.clone()));
    let app = App {
        gate,
        store: store.clone(),
        modules,
        compilations: compilations.clone(),
        scripts: Scripts { runtimes, checks },
        invoker: Arc::new(StoredInvoker::start(
            store,
            clock.clone(),
            quotas.clone(),
            args.attempts.attempts_max,
            crew.clone(),
        )),
        meter: Meter::new(quotas.clone()),
        clock,
        metrics: metrics.clone(),
        readiness: readiness.clone(),
        secrets,
        denials: Denials::default(),
        jobs,
        outlook: Outlook::default(),
        room: Room::default(),
        closing: stop.clone(),
        settings: RestSettings {
            limits,
            ceiling,
            module_bytes_max: module_limits.bytes,
            upload_dir: args.data.clone(),
            pickles,
            attempts_max: args.attempts.attempts_max,
            cors: args.web.cors(),
            is_tls: tls.is_some(),
        },
    };
    tokio::spawn(crate::store_room::watch(quotas.clone(), metrics, readiness.clone(), stop.clone()));
    tokio::spawn(quotas.follow(stop.clone()));
    tokio::spawn(compilations.follow(stop.clone()));
    tokio::spawn(crew.follow(stop.clone()));
    let is_tls = tls.is_some();
    let url = format!("{}://{address}", web::scheme(is_tls));
    let rest = tokio::spawn(args.web.clone().serve(listeners, tls, rest::router(app), stop.clone()));
    readiness.ready();
    ui::tell(format!("Fusebox is listening on {url}"));
    ui::tell(format!("  store  {}", args.shared.store));
    ui::tell(format!("  docs   {url}/docs"));
    if !names.is_empty() {
        ui::tell(format!("  scripts  {names}"));
    }
    args.web.tell(functions, is_tls);
    admin::tell(health);
    until_drained(signals, rest, &readiness, &stop, args.drain_delay).await
}

/// Waits for a signal, and then for the end of the drain that it starts.
async fn until_drained(
    mut signals: Signals,
    mut rest: JoinHandle<()>,
    readiness: &Readiness,
    stop: &CancellationToken,
    delay: Duration,
) -> anyhow::Result<()> {
    tokio::select! {
        () = signals.next() => {}
        _ = &mut rest => anyhow::bail!("REST stopped unexpectedly: see the log, and restart it; nothing is lost"),
    }
    readiness.draining();
    let drain = async {
        tokio::time::sleep(delay).await;
        stop.cancel();
        drop(rest.await);
    };
    signals.drain(drain).await;
    Ok(())
}
