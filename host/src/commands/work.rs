//! `fusebox push-worker` and `fusebox pull-worker`: run what a dispatcher assigns, until a signal drains them.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use fusebox_core::dispatch::Mode;
use fusebox_jail::User;
use fusebox_sandbox::HostCalls;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    admin::{self, AdminArgs, Own},
    confine::{self, Admin, Confined},
    egress::EgressArgs,
    jail::JailArg,
    parts::{self, SLOTS_MAX},
    signals::Signals,
};
use crate::{
    clock::Clock,
    helper::client::Helper,
    modules::Modules,
    random,
    telemetry::{health::Readiness, metrics::Metrics},
    ui,
    worker::{
        self,
        agent::{self, Agent},
        joining::Doors,
        slots::Slots,
    },
};
use fusebox_link::JoinToken;

/// Addresses of one worker: its helper knows them by a byte, and may connect to the ports of all.
const URLS_MAX: usize = 32;

/// How a worker is set up.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  fusebox push-worker 4 tcp://127.0.0.1:5555       for `fusebox dispatcher -m push -p 5555`
  fusebox pull-worker 4 tcp://a:5555 tcp://b:5555  joins one of them, and another one when that ends
A worker locks itself up before it runs anything: it gives up root, files but its own, the network but its dispatcher, other
processes, and all system calls but those of running. `fusebox doctor` says what this machine gives to that.
A worker joins again whenever its link breaks or it is refused, and its runs go on meanwhile; its log says why. It holds no
credentials of Redis.
SIGTERM drains it: running tasks may end within 30 s, the others are given back.")]
pub struct WorkArgs {
    /// Slots: runs that may go on at once
    #[arg(value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub slots: u32,
    /// Dispatchers' addresses, such as tcp://10.0.0.1:5555, tried in turn; names are resolved again at each try
    #[arg(value_name = "URL", required = true, num_args = 1..=URLS_MAX)]
    pub urls: Vec<String>,
    /// The dispatcher's join token; with it this worker takes compiled modules from the dispatcher, and
    /// compiles only what it cannot get so
    #[arg(long, env = "FUSEBOX_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub join_token: Option<JoinToken>,
    /// The directory of compiled modules, which workers alone use; made where it is not there
    #[arg(long, env = "FUSEBOX_DATA", default_value = "fusebox-data", value_name = "DIR")]
    pub data: PathBuf,
    /// What functions may reach.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// Where its health and metrics are.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Whether it locks itself up, so that a guest that broke out of WebAssembly would be no further
    #[arg(long, env = "FUSEBOX_JAIL", value_enum, default_value_t)]
    pub jail: JailArg,
    /// The user that it becomes where it is started as root
    #[arg(long, env = "FUSEBOX_USER", value_name = "UID[:GID]", default_value_t = User::NOBODY)]
    pub user: User,
}

/// Works until a signal, then drains.
///
/// # Errors
/// Where no dispatcher takes a worker that is started so, or its helper ends.
pub async fn run(args: WorkArgs, confined: Confined, mode: Mode) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let clock = Clock::System;
    confine::log(&confined.report);
    let dial = confined.dial();
    let helper = confined.helper.as_ref().map(Helper::watch).transpose()?;
    let sandbox = confined.sandbox.start()?;
    let metrics = Arc::new(Metrics::new(args.slots));
    let readiness = Readiness::new();
    let vitals = Arc::new(Own { store: None, metrics: metrics.clone(), readiness: readiness.clone() });
    match confined.admin {
        Some(Admin::Own(listener)) => drop(tokio::spawn(admin::serve(listener, vitals))),
        Some(Admin::Helpers(questions)) => questions.answer(vitals)?,
        None => {}
    }
    let (outside, questions) = worker::outside::channel();
    let http: Arc<dyn HostCalls> = match confined.proxy {
        Some(proxy) => Arc::new(proxy),
        None => Arc::new(args.egress.start(&metrics)?),
    };
    let outside = parts::outside(outside, http);
    let worker = random::worker_id(clock.now());
    let slots = Slots::start(args.slots, Arc::new(sandbox.clone()), outside, worker, &clock, &metrics)?;
    let ready = readiness.clone();
    let doors = Doors {
        urls: args.urls,
        dial,
        token: args.join_token,
        // A program that started this worker may wait for the line.
        joined: Box::new(move |url| {
            ready.ready();
            ui::tell(format!("Joined {url}"));
        }),
    };
    let options =
        agent::Options { mode, slots: Arc::new(slots), questions, modules: Modules::new(sandbox, metrics), clock };
    let stop = CancellationToken::new();
    let mut agent = tokio::spawn(Agent::run(doors, options, stop.clone()));
    let mut is_whole = true;
    tokio::select! {
        ended = &mut agent => return Ok(ended??),
        () = signals.next() => {}
        () = ended(helper) => {
            tracing::error!("the helper of this worker has ended: what runs may end, then the worker does");
            is_whole = false;
        }
    }
    readiness.draining();
    stop.cancel();
    signals
        .drain(async {
            if let Ok(Err(error)) = agent.await {
                tracing::warn!(%error, "the dispatcher was not there to take the last reports; their tasks run again");
            }
        })
        .await;
    anyhow::ensure!(
        is_whole,
        "the helper of this worker ended, and without it nothing is compiled and no link made: see why, and start the worker \
         again; nothing is lost"
    );
    Ok(())
}

/// Waits for the end of a helper; for ever where there is none.
async fn ended(helper: Option<oneshot::Receiver<()>>) {
    match helper {
        Some(helper) => drop(helper.await),
        None => std::future::pending().await,
    }
}
