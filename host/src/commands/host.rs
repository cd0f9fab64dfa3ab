//! A whole host in one process: embedded store, REST, dispatcher and slots. A composition root: wiring only.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use fusebox_core::{function::RunLimits, limits::ARTIFACTS_BYTES_MAX};
use fusebox_sandbox::{CompileCommand, Sandbox};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    dispatch::{driver, missing::MissingModules, short::SlotInvoker, upkeep},
    modules::Modules,
    random,
    rest::{self, App, RestSettings, room::Room},
    store::{Store, embedded::EmbeddedStore},
    telemetry::{health::Readiness, metrics::Metrics},
    worker::slots::Slots,
};

/// How a host is set up.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Where REST listens; loopback, since there are no API keys.
    pub listen: SocketAddr,
    /// The store's directory.
    pub store: PathBuf,
    /// Runs that may go on at once.
    pub slots: u32,
    /// Limits of functions that state none.
    pub limits: RunLimits,
    /// The most a function may ask for.
    pub ceiling: RunLimits,
}

/// A running host.
pub struct Host {
    url: String,
    stop: CancellationToken,
    readiness: Readiness,
    rest: JoinHandle<()>,
    driver: JoinHandle<()>,
    upkeep: JoinHandle<()>,
    /// Last, so that it outlives whatever uses it.
    _slots: Arc<Slots>,
}

impl Host {
    /// Starts a host. It is ready when this returns.
    ///
    /// # Errors
    /// Where it cannot start: the address or the store is in use, or not allowed.
    pub async fn start(options: HostOptions) -> anyhow::Result<Self> {
        anyhow::ensure!(
            options.listen.ip().is_loopback(),
            "without API keys REST listens on loopback only, and {} is not: use --listen 127.0.0.1:PORT",
            options.listen
        );
        let clock = Clock::System;
        let store = open_store(options.store.clone(), clock.clone()).await?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("cannot listen on {}: choose another address with --listen", options.listen))?;
        let address = listener.local_addr()?;
        let sandbox = sandbox(&options)?;
        let metrics = Arc::new(Metrics::new(options.slots));
        let modules = Modules::new(sandbox.clone(), metrics.clone());
        let missing = MissingModules { store: store.clone(), modules: modules.clone() };
        let worker = random::worker_id(clock.now());
        let slots = Arc::new(Slots::start(options.slots, &sandbox, worker, &clock, &metrics)?);
        let stop = CancellationToken::new();
        let readiness = Readiness::new();

        let driver = driver::Options {
            store: store.clone(),
            slots: slots.clone(),
            missing: missing.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
        };
        let driver = tokio::spawn(driver::Driver::run(driver, stop.clone()));
        let upkeep = tokio::spawn(upkeep::run(store.clone(), metrics.clone(), stop.clone()));
        let app = App {
            store,
            modules,
            invoker: Arc::new(SlotInvoker { slots: slots.clone(), missing, clock: clock.clone() }),
            clock,
            metrics,
            readiness: readiness.clone(),
            room: Room::default(),
            settings: RestSettings { limits: options.limits, ceiling: options.ceiling },
        };
        let rest = tokio::spawn(rest::server::serve(listener, rest::router(app), stop.clone().cancelled_owned()));
        readiness.ready();
        Ok(Self { url: format!("http://{address}"), stop, readiness, rest, driver, upkeep, _slots: slots })
    }

    /// Where REST listens.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Ends only where a part of the host ended by itself, which none should; says which.
    pub async fn broken(&mut self) -> &'static str {
        tokio::select! {
            _ = &mut self.rest => "REST",
            _ = &mut self.driver => "the dispatcher",
            _ = &mut self.upkeep => "the store's upkeep",
        }
    }

    /// Ends the host in an orderly way: not ready at once, open requests are answered, running attempts end or are given
    /// back.
    pub async fn drain(self) {
        self.readiness.draining();
        self.stop.cancel();
        let (rest, driver, upkeep) = tokio::join!(self.rest, self.driver, self.upkeep);
        for (part, end) in [("rest", rest), ("dispatcher", driver), ("upkeep", upkeep)] {
            if let Err(error) = end {
                tracing::error!(part, %error, "ended badly");
            }
        }
    }
}

fn sandbox(options: &HostOptions) -> anyhow::Result<Sandbox> {
    Ok(Sandbox::new(fusebox_sandbox::Options {
        slots: options.slots,
        ceiling: options.ceiling,
        cache_dir: options.store.join("artifacts"),
        cache_bytes_max: ARTIFACTS_BYTES_MAX,
        compile_command: compile_command()?,
    })?)
}

/// This program, as a compile child.
///
/// # Errors
/// Where the system does not say where this program is.
pub fn compile_command() -> anyhow::Result<CompileCommand> {
    let program = std::env::current_exe().context("find this program, to compile modules in a child process")?;
    Ok(CompileCommand { program, args: vec!["compile-module".into()] })
}

/// Opens the store and takes back the leases of the process before this one: its slots are gone, and no other process
/// can hold a lease of a store that only one process may open.
async fn open_store(dir: PathBuf, clock: Clock) -> anyhow::Result<Arc<dyn Store>> {
    let store = tokio::task::spawn_blocking(move || EmbeddedStore::open(&dir, clock)).await??;
    let reclaimed = store.reclaim_all_leases().await?;
    if reclaimed > 0 {
        tracing::warn!(reclaimed, "tasks were running when the last process ended; they run again");
    }
    Ok(Arc::new(store))
}
