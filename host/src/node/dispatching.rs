//! The dispatcher of a process: the driver over its store, the store's upkeep, and for push and pull the workers' port.
//! Wiring only.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use clap::{Args, ValueEnum};
use fusebox_core::{dispatch::Mode, limits::WALL_MS_MAX};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    dispatch::{
        closing,
        driver::{self, Driver, Workers},
        gateway::Gateway,
        pieces::Pieces,
        store_calls::StoreHostCalls,
        upkeep,
    },
    loss,
    modules::Modules,
    skew, store_room,
    telemetry::{health::Readiness, metrics::Metrics},
    tenancy::QuotaBook,
};
use fusebox_link::{Admission, Counters, JoinToken, Listener};
use fusebox_store::Store;
use fusebox_system::{clock::Clock, random};

/// How workers receive attempts, as a command line option.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Slots in this process
    #[default]
    Local,
    /// Workers in other processes; the dispatcher sends attempts as they have room
    Push,
    /// Workers in other processes, which request attempts
    Pull,
}

impl From<ModeArg> for Mode {
    fn from(mode: ModeArg) -> Self {
        match mode {
            ModeArg::Local => Self::Local,
            ModeArg::Push => Self::Push,
            ModeArg::Pull => Self::Pull,
        }
    }
}

/// The workers' port, and limits of all runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Workers")]
pub struct DispatchArgs {
    /// Port for push and pull workers; 0 takes a free one
    #[arg(short, long, default_value_t = 5555, value_name = "PORT")]
    pub port: u16,
    /// Address of that port; any but loopback requires a join token
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    pub bind: IpAddr,
    /// Secret that workers need to join; with it they also receive compiled modules. Give it twice to accept either
    /// token, so that one replaces the other without a gap. Without it workers must be on this machine, compile for
    /// themselves, and are refused once the host has a key
    #[arg(long = "join-token", env = "FUSEBOX_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub join_tokens: Vec<JoinToken>,
    /// Longest wall time of a task's run in seconds, even if its function's limit is higher [default: 300]
    #[arg(short = 't', long = "task-timeout", value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=300))]
    pub task_timeout: Option<u32>,
}

impl Default for DispatchArgs {
    fn default() -> Self {
        Self { port: 0, bind: IpAddr::V4(Ipv4Addr::LOCALHOST), join_tokens: Vec::new(), task_timeout: None }
    }
}

impl DispatchArgs {
    fn wall_ms_max(&self) -> u32 {
        self.task_timeout.map_or(WALL_MS_MAX, |seconds| seconds.saturating_mul(1_000))
    }
}

/// Components that every kind of dispatcher is built from.
pub struct Parts {
    /// Store of the tasks.
    pub store: Arc<dyn Store>,
    /// Source of time.
    pub clock: Clock,
    /// Host calls of runs.
    pub host_calls: StoreHostCalls,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Quotas of the tenants.
    pub quotas: Arc<QuotaBook>,
    /// Readiness of the process.
    pub readiness: Readiness,
    /// Starts the drain.
    pub stop: CancellationToken,
}

/// A running dispatcher.
pub struct Dispatching {
    driver: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    gateway: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

impl Dispatching {
    /// Starts a dispatcher over slots of this process.
    #[must_use]
    pub fn local(parts: Parts, workers: Workers, args: &DispatchArgs) -> Self {
        Self::start(parts, workers, args)
    }

    /// Starts a dispatcher for workers in other processes. With `modules` and a join token, workers receive the modules
    /// compiled here.
    ///
    /// # Errors
    /// Fails if the port cannot be bound, or, without a token, if the store cannot report whether the host has keys.
    pub async fn remote(
        parts: Parts,
        mode: Mode,
        modules: Option<Modules>,
        args: &DispatchArgs,
    ) -> anyhow::Result<Self> {
        let counters = Arc::new(Counters::default());
        let address = SocketAddr::new(args.bind, args.port);
        let admission = Admission { tokens: args.join_tokens.clone(), closed: CancellationToken::new() };
        let listener = Listener::bind(address, admission.clone(), counters.clone()).await?;
        if admission.tokens.is_empty() {
            closing::watch(parts.store.clone(), admission.closed, parts.stop.clone()).await?;
        }
        let address = listener.local_addr();
        parts.metrics.count_links(&counters);
        // Without a token any process on this machine could pose as the dispatcher, and workers trust its native code
        // blindly.
        let modules = modules.filter(|_| !args.join_tokens.is_empty());
        let pieces = Arc::new(Pieces::new(parts.store.clone(), modules));
        let (gateway, links) = Gateway::new(listener, mode, pieces, counters);
        let gateway = tokio::spawn(gateway.run(parts.stop.clone()));
        let started = Self::start(parts, Workers::Remote(links), args);
        Ok(Self { gateway: Some(gateway), address: Some(address), ..started })
    }

    fn start(parts: Parts, workers: Workers, args: &DispatchArgs) -> Self {
        let Parts { store, clock, host_calls, metrics, quotas, readiness, stop } = parts;
        tokio::spawn(skew::watch(store.clone(), Clock::System, metrics.clone(), stop.clone()));
        tokio::spawn(loss::watch(store.clone(), metrics.clone(), stop.clone()));
        tokio::spawn(store_room::watch(quotas.clone(), metrics.clone(), readiness, stop.clone()));
        let options = driver::Options {
            dispatcher: random::dispatcher_id(clock.now()),
            store: store.clone(),
            host_calls,
            wall_ms_max: args.wall_ms_max(),
            quotas: quotas.clone(),
            clock,
            metrics: metrics.clone(),
        };
        let driver = tokio::spawn(Driver::run(options, workers, stop.clone()));
        tokio::spawn(quotas.follow(stop.clone()));
        let upkeep = tokio::spawn(upkeep::run(store, metrics, stop));
        Self { driver, upkeep, gateway: None, address: None }
    }

    /// Address of the workers' port; `None` in local mode.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Waits until a part ends by itself, which is a fault; returns its name.
    pub async fn broken(&mut self) -> &'static str {
        let gateway = async {
            match &mut self.gateway {
                Some(gateway) => drop(gateway.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = &mut self.driver => "the dispatcher",
            _ = &mut self.upkeep => "the store's upkeep",
            () = gateway => "the workers' port",
        }
    }

    /// Waits for the end of a drain that has begun.
    pub async fn drained(self) {
        let (driver, upkeep) = tokio::join!(self.driver, self.upkeep);
        for (part, end) in [("dispatcher", driver), ("upkeep", upkeep)] {
            if let Err(error) = end {
                tracing::error!(part, %error, "ended badly");
            }
        }
        // Lets messages queued on links leave, the last acknowledgements among them.
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// Time for the acknowledgements of a drain's last reports; workers send unacknowledged reports again.
const LAST_WORDS: Duration = Duration::from_millis(50);
