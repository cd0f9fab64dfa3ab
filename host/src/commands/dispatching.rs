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
    clock::Clock,
    dispatch::{
        closing,
        driver::{self, Driver, Workers},
        gateway::Gateway,
        outside::StoreOutside,
        pieces::Pieces,
        upkeep,
    },
    loss,
    modules::Modules,
    random, skew,
    store::Store,
    telemetry::metrics::Metrics,
    tenancy::QuotaBook,
};
use fusebox_link::{Admission, Counters, JoinToken, Listener};

/// How workers get their attempts, as the command line says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ModeArg {
    /// Slots in this process
    #[default]
    Local,
    /// Workers of other processes, which are sent attempts as they have room
    Push,
    /// Workers of other processes, which ask for attempts
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

/// Where workers come in, and what holds for all runs.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Workers")]
pub struct DispatchArgs {
    /// The port that push and pull workers come in by; 0 takes a free one
    #[arg(short, long, default_value_t = 5555, value_name = "PORT")]
    pub port: u16,
    /// The address that port is on; another one than loopback needs a join token
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "IP")]
    pub bind: IpAddr,
    /// The secret that workers need to join; they are then given compiled modules too. Given twice, either token is good, so that
    /// one replaces the other without a gap. Without it they come from this machine only, compile for themselves, and are
    /// refused once the host has a key
    #[arg(long = "join-token", env = "FUSEBOX_JOIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub join_tokens: Vec<JoinToken>,
    /// The longest wall time of a task's run in seconds, whatever its function may use [default: 300]
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

/// What all kinds of dispatcher are wired from.
pub struct Parts {
    /// Where tasks are.
    pub store: Arc<dyn Store>,
    /// What time it is.
    pub clock: Clock,
    /// Answers what runs ask for.
    pub outside: StoreOutside,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What tenants may take.
    pub quotas: Arc<QuotaBook>,
    /// Drains it.
    pub stop: CancellationToken,
}

/// A dispatcher at work.
pub struct Dispatching {
    driver: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    gateway: Option<JoinHandle<()>>,
    address: Option<SocketAddr>,
}

impl Dispatching {
    /// Starts one over slots of this process.
    #[must_use]
    pub fn local(parts: Parts, workers: Workers, args: &DispatchArgs) -> Self {
        Self::start(parts, workers, args)
    }

    /// Starts one that workers of other processes join. Where there are `modules` and a join token, workers are given what
    /// these compile.
    ///
    /// # Errors
    /// Where its port cannot be listened on, or the store does not say whether it may be open to workers without a token.
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
        // Without a token anyone on this machine could pose as the dispatcher, and native code is believed blindly.
        let modules = modules.filter(|_| !args.join_tokens.is_empty());
        let pieces = Arc::new(Pieces::new(parts.store.clone(), modules));
        let (gateway, links) = Gateway::new(listener, mode, pieces, counters);
        let gateway = tokio::spawn(gateway.run(parts.stop.clone()));
        let started = Self::start(parts, Workers::Remote(links), args);
        Ok(Self { gateway: Some(gateway), address: Some(address), ..started })
    }

    fn start(parts: Parts, workers: Workers, args: &DispatchArgs) -> Self {
        let Parts { store, clock, outside, metrics, quotas, stop } = parts;
        tokio::spawn(skew::watch(store.clone(), Clock::System, metrics.clone(), stop.clone()));
        tokio::spawn(loss::watch(store.clone(), metrics.clone(), stop.clone()));
        let options = driver::Options {
            dispatcher: random::dispatcher_id(clock.now()),
            store: store.clone(),
            outside,
            workers,
            wall_ms_max: args.wall_ms_max(),
            quotas: quotas.clone(),
            clock,
            metrics: metrics.clone(),
        };
        let driver = tokio::spawn(Driver::run(options, stop.clone()));
        tokio::spawn(quotas.follow(stop.clone()));
        let upkeep = tokio::spawn(upkeep::run(store, metrics, stop));
        Self { driver, upkeep, gateway: None, address: None }
    }

    /// Where workers come in.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Ends only where a part ended by itself, which none should; says which.
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

    /// Waits for the end of a drain that was begun.
    pub async fn drained(self) {
        let (driver, upkeep) = tokio::join!(self.driver, self.upkeep);
        for (part, end) in [("dispatcher", driver), ("upkeep", upkeep)] {
            if let Err(error) = end {
                tracing::error!(part, %error, "ended badly");
            }
        }
        // What was queued on links, the last acknowledgements, has a moment to leave.
        tokio::time::sleep(LAST_WORDS).await;
    }
}

/// Acknowledgements of a drain's last ends leave within this time; what does not is asked for again by its worker.
const LAST_WORDS: Duration = Duration::from_millis(50);
