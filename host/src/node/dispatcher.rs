//! `fusebox dispatcher`: moves tasks from Redis to workers and their results back, until a signal drains it.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use fusebox_core::{dispatch::Mode, function::RunLimits, keep::Keep, time::Millis};
use fusebox_sandbox::ModuleLimits;
use fusebox_ui as ui;
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::{driver::Workers, missing::MissingModules, store_calls::StoreHostCalls},
    modules::Modules,
    node::args::{KindArgs, SecretsArgs},
    node::{
        admin::{self, AdminArgs, OwnVitals},
        dispatching::{DispatchArgs, Dispatching, ModeArg, Parts},
        egress::EgressArgs,
        parts::{self, SLOTS_MAX},
        signals::Signals,
        slot::IsolateArgs,
        store::SharedStoreArgs,
    },
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::QuotaBook,
    worker::slots::Slots,
};
use fusebox_system::{clock::Clock, random};

/// Settings of a dispatcher.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox dispatcher -m local -w 4                 run tasks in 4 slots of this process
  fusebox dispatcher -m push -p 5555               serve push workers:  fusebox push-worker 4 tcp://127.0.0.1:5555
  fusebox dispatcher -m pull -p 5555 --bind 0.0.0.0 --join-token \"$TOKEN\"
                                                   serve pull workers of other machines, which know the token too
Several dispatchers may work on one store. SIGTERM drains: running tasks may end within 30 s.")]
pub struct DispatcherArgs {
    /// How workers receive attempts
    #[arg(short, long, value_enum)]
    pub mode: ModeArg,
    /// Slots in local mode: concurrent runs [default: the number of cores]
    #[arg(short = 'w', long = "slots", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub slots: Option<u32>,
    /// Settings of the workers' port.
    #[command(flatten)]
    pub workers: DispatchArgs,
    /// Isolation of runs.
    #[command(flatten)]
    pub isolation: IsolateArgs,
    /// The store.
    #[command(flatten)]
    pub shared: SharedStoreArgs,
    /// Directory of compiled modules, in local mode and for workers with a join token; created if missing. Shared with
    /// `serve` on this machine, whose compiled modules are reused
    #[arg(long, env = "FUSEBOX_DATA", default_value = "fusebox-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Key of secrets.
    #[command(flatten)]
    pub secrets: SecretsArgs,
    /// Listener for health and metrics.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Kinds of modules that are run, in local mode; workers have their own.
    #[command(flatten)]
    pub kinds: KindArgs,
    /// Outgoing HTTP requests of functions, in local mode.
    #[command(flatten)]
    pub egress: EgressArgs,
}

/// Dispatches until a signal, then drains.
///
/// # Errors
/// Fails if it cannot start: the port is in use, or Redis cannot be reached.
pub async fn run(args: DispatcherArgs) -> anyhow::Result<()> {
    parts::allow_open_files();
    let mut signals = Signals::listen()?;
    let clock = Clock::System.steady(Millis(0));
    let mode = Mode::from(args.mode);
    let slots = args.slots.unwrap_or_else(parts::cores);
    let Some(store) = signals.or(Box::pin(args.shared.open(&clock))).await else { return Ok(()) };
    let store = store?;
    let metrics = Arc::new(Metrics::new(if mode == Mode::Local { slots } else { 0 }));
    let readiness = Readiness::new();
    let health = args.admin.start(OwnVitals::new(&store, &metrics, &readiness))?;
    let stop = CancellationToken::new();
    // A dispatcher accepts no tasks, whose retention is recorded then.
    let quotas = QuotaBook::open(store.clone(), Keep::DEFAULT).await;
    let host_calls = StoreHostCalls::new(store.clone(), args.secrets.read()?, quotas.clone());
    let own = Parts {
        store: store.clone(),
        clock: clock.clone(),
        host_calls: host_calls.clone(),
        metrics: metrics.clone(),
        quotas,
        readiness: readiness.clone(),
        stop: stop.clone(),
    };
    let mut dispatching = if mode == Mode::Local {
        let sandbox = parts::sandbox(&args.data, slots, RunLimits::CEILING, args.kinds.modules())?;
        let modules = Modules::new(sandbox.clone(), metrics.clone());
        let host_calls = parts::host_calls(host_calls, Arc::new(args.egress.start(&metrics)?));
        args.isolation.warn_where_shared(store.has_keys().await?);
        let runner = args.isolation.runner(&sandbox, slots, RunLimits::CEILING)?;
        let slots = Slots::start(slots, runner, host_calls, random::worker_id(clock.now()), &Clock::System, &metrics)?;
        let workers = Workers::Local { slots: Arc::new(slots), missing: MissingModules { store, modules } };
        Dispatching::local(own, workers, &args.workers)
    } else {
        // Nothing runs here, so the smallest pool is enough.
        let sandbox = (!args.workers.join_tokens.is_empty())
            .then(|| parts::sandbox(&args.data, 1, RunLimits::CEILING, ModuleLimits::CEILING));
        let modules = sandbox.transpose()?.map(|sandbox| Modules::new(sandbox, metrics));
        Dispatching::remote(own, mode, modules, &args.workers).await?
    };
    readiness.ready();
    let word = mode.as_str();
    match dispatching.address() {
        Some(address) => ui::tell(format!("Dispatcher ({word}) is listening on tcp://{address}")),
        None => ui::tell(format!("Dispatcher ({word}) is running with {slots} slots")),
    }
    ui::tell(format!("  store  {}", args.shared.store));
    admin::tell(health);
    if let Some(address) = dispatching.address() {
        ui::tell(format!("Next, in another terminal:  fusebox {word}-worker 4 tcp://{address}"));
    }
    tokio::select! {
        () = signals.next() => {}
        part = dispatching.broken() => anyhow::bail!("{part} stopped unexpectedly: see the log, and restart it; nothing is lost"),
    }
    readiness.draining();
    stop.cancel();
    signals.drain(dispatching.drained()).await;
    Ok(())
}
