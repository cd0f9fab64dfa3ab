//! `fusebox push-worker` and `fusebox pull-worker`: run attempts that a dispatcher assigns, until a signal drains them.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use fusebox_core::dispatch::Mode;
use fusebox_jail::User;
use fusebox_sandbox::HostCalls;
use fusebox_ui as ui;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    helper::client::Helper,
    modules::Modules,
    node::{
        admin::{self, AdminArgs, OwnVitals},
        args::KindArgs,
        confine::{self, Admin, Confined},
        egress::EgressArgs,
        jail::JailArg,
        parts::{self, SLOTS_MAX},
        signals::Signals,
    },
    telemetry::{health::Readiness, metrics::Metrics},
    worker::{
        self,
        agent::{self, Agent},
        joining::Dispatchers,
        slots::Slots,
    },
};
use fusebox_link::JoinToken;
use fusebox_system::{clock::Clock, random};

/// Limit of dispatcher addresses: the helper numbers them with one byte, and its jail permits the ports of all.
const URLS_MAX: usize = 32;

/// Settings of a worker.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox push-worker 4 tcp://127.0.0.1:5555       for `fusebox dispatcher -m push -p 5555`
  fusebox pull-worker 4 tcp://a:5555 tcp://b:5555  joins one of them, and another one when that ends
A worker enters a jail before it runs anything: it gives up root, all files but its own, the network except its dispatchers,
other processes, and all system calls that runs do not need. `fusebox doctor` reports how far this machine supports that.
A worker rejoins whenever its link breaks or it is refused, while its runs continue; its log gives the reason. It holds no
Redis credentials.
SIGTERM drains it: running tasks may end within 30 s, the others are given back.")]
pub struct WorkArgs {
    /// Slots: concurrent runs
    #[arg(value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub slots: u32,
    /// Dispatchers' addresses, such as tcp://10.0.0.1:5555, tried in turn; names are resolved again at each try
    #[arg(value_name = "URL", required = true, num_args = 1..=URLS_MAX)]
    pub urls: Vec<String>,
    /// Join token of the dispatcher; with it this worker receives compiled modules from the dispatcher, and compiles
    /// only those that it cannot get
    #[arg(long, env = "FUSEBOX_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub join_token: Option<JoinToken>,
    /// Directory of compiled modules, used by workers only; created if missing
    #[arg(long, env = "FUSEBOX_DATA", default_value = "fusebox-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Kinds of modules that are run.
    #[command(flatten)]
    pub kinds: KindArgs,
    /// Outgoing HTTP requests of functions.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// Listener for health and metrics.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// How strictly to require the worker's jail, which confines a guest that escapes from WebAssembly
    #[arg(long, env = "FUSEBOX_JAIL", value_enum, default_value_t)]
    pub jail: JailArg,
    /// User to switch to if started as root
    #[arg(long, env = "FUSEBOX_USER", value_name = "UID[:GID]", default_value_t = User::NOBODY)]
    pub user: User,
}

/// Works until a signal, then drains.
///
/// # Errors
/// Fails if the worker's own settings, such as its join token, prevent its first join, or its helper ends.
pub async fn run(args: WorkArgs, confined: Confined, mode: Mode) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let clock = Clock::System;
    confine::log(&confined.report);
    let dial = confined.dial();
    let helper = confined.helper.as_ref().map(Helper::watch).transpose()?;
    let sandbox = confined.sandbox.start()?;
    let metrics = Arc::new(Metrics::new(args.slots));
    let readiness = Readiness::new();
    let vitals = Arc::new(OwnVitals { store: None, metrics: metrics.clone(), readiness: readiness.clone() });
    match confined.admin {
        Some(Admin::Own(listener)) => drop(tokio::spawn(admin::serve(listener, vitals))),
        Some(Admin::Helpers(questions)) => questions.answer(vitals)?,
        None => {}
    }
    let (host_calls, calls) = worker::link_calls::channel();
    let http: Arc<dyn HostCalls> = match confined.proxy {
        Some(proxy) => Arc::new(proxy),
        None => Arc::new(args.egress.start(&metrics)?),
    };
    let host_calls = parts::host_calls(host_calls, http);
    let worker = random::worker_id(clock.now());
    let slots = Slots::start(args.slots, Arc::new(sandbox.clone()), host_calls, worker, &clock, &metrics)?;
    let ready = readiness.clone();
    let dispatchers = Dispatchers {
        urls: args.urls,
        dial,
        token: args.join_token,
        // A program that started this worker may wait for this line.
        joined: Box::new(move |url| {
            ready.ready();
            ui::tell(format!("Joined {url}"));
        }),
    };
    let options =
        agent::Options { mode, slots: Arc::new(slots), calls, modules: Modules::new(sandbox, metrics), clock };
    let stop = CancellationToken::new();
    let mut agent = tokio::spawn(Agent::run(dispatchers, options, stop.clone()));
    let mut is_whole = true;
    tokio::select! {
        ended = &mut agent => return Ok(ended??),
        () = signals.next() => {}
        () = ended(helper) => {
            tracing::error!("the helper of this worker has ended: running tasks may end, then the worker ends");
            is_whole = false;
        }
    }
    readiness.draining();
    stop.cancel();
    signals
        .drain(async {
            if let Ok(Err(error)) = agent.await {
                tracing::warn!(%error, "no dispatcher accepted the last reports; their tasks run again");
            }
        })
        .await;
    anyhow::ensure!(
        is_whole,
        "the helper of this worker ended, which compiles and connects for it: check the log, and start the worker \
         again; nothing is lost"
    );
    Ok(())
}

/// Waits for the end of a helper; forever if there is none.
async fn ended(helper: Option<oneshot::Receiver<()>>) {
    match helper {
        Some(helper) => drop(helper.await),
        None => std::future::pending().await,
    }
}
