//! `fusebox push-worker` and `fusebox pull-worker`: run what a dispatcher assigns, until a signal drains them.

use std::{path::PathBuf, sync::Arc};

use clap::Args;
use fusebox_core::{dispatch::Mode, function::RunLimits};
use tokio_util::sync::CancellationToken;

use super::{
    egress::EgressArgs,
    parts::{self, SLOTS_MAX},
    signals::Signals,
};
use crate::{
    clock::Clock,
    modules::Modules,
    random,
    telemetry::metrics::Metrics,
    transport::JoinToken,
    ui,
    worker::{
        self,
        agent::{self, Agent},
        slots::Slots,
    },
};

/// How a worker is set up.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  fusebox push-worker 4 tcp://127.0.0.1:5555       for `fusebox dispatcher -m push -p 5555`
A worker joins again whenever its link breaks, and its runs go on meanwhile. It holds no credentials of Redis.
SIGTERM drains it: running tasks may end within 30 s, the others are given back.")]
pub struct WorkArgs {
    /// Slots: runs that may go on at once
    #[arg(value_name = "SLOTS", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub slots: u32,
    /// The dispatcher's address, such as tcp://10.0.0.1:5555
    #[arg(value_name = "URL")]
    pub url: String,
    /// What the dispatcher wants workers to know; with it this worker takes compiled modules from the dispatcher, and
    /// compiles only what it cannot get so
    #[arg(long, env = "FUSEBOX_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub join_token: Option<JoinToken>,
    /// The directory of compiled modules; made where it is not there
    #[arg(long, env = "FUSEBOX_DATA", default_value = "fusebox-data", value_name = "DIR")]
    pub data: PathBuf,
    /// What functions may reach.
    #[command(flatten)]
    pub egress: EgressArgs,
}

/// Works until a signal, then drains.
///
/// # Errors
/// Where the dispatcher refuses this worker, or the sandbox cannot be made.
pub async fn run(args: WorkArgs, mode: Mode) -> anyhow::Result<()> {
    parts::allow_open_files();
    let mut signals = Signals::listen()?;
    let clock = Clock::System;
    let sandbox = parts::sandbox(&args.data, args.slots, RunLimits::CEILING)?;
    let metrics = Arc::new(Metrics::new(args.slots));
    let (outside, questions) = worker::outside::channel();
    let egress = args.egress.start(&metrics)?;
    let outside = parts::outside(outside, egress);
    let slots = Slots::start(args.slots, &sandbox, outside, random::worker_id(clock.now()), &clock, &metrics)?;
    let url = args.url.clone();
    let options = agent::Options {
        url: args.url,
        token: args.join_token,
        mode,
        slots: Arc::new(slots),
        questions,
        modules: Modules::new(sandbox, metrics),
        clock,
        // Who started this worker may wait for the line; without a reader it works all the same.
        joined: Box::new(move || drop(ui::say(format!("Joined {url}")))),
    };
    let stop = CancellationToken::new();
    let mut agent = tokio::spawn(Agent::run(options, stop.clone()));
    tokio::select! {
        ended = &mut agent => return Ok(ended??),
        () = signals.next() => stop.cancel(),
    }
    signals
        .drain(async {
            if let Ok(Err(error)) = agent.await {
                tracing::warn!(%error, "the dispatcher was not there to take the last reports; their tasks run again");
            }
        })
        .await;
    Ok(())
}
