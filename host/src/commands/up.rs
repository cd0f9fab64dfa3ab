//! `fusebox up`: a whole host in one process: embedded store, REST, dispatcher and slots. The composition root: wiring
//! only.

use std::{future::Future, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use anyhow::Context as _;
use fusebox_core::function::RunLimits;
use fusebox_sandbox::{CompileCommand, Sandbox};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::UpArgs,
    clock::Clock,
    dispatch::{driver, upkeep},
    modules::Modules,
    random,
    rest::{self, App, RestSettings},
    store::{Store, embedded::EmbeddedStore},
    telemetry::{health::Readiness, metrics::Metrics},
    ui,
    worker::{invoke::SlotInvoker, slots::Slots},
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

/// Runs a host until a signal, then drains it.
///
/// # Errors
/// Where it cannot start: the address or the store is in use, or not allowed.
pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let options = args.host_options()?;
    let host = Host::start(options.clone()).await?;
    ui::say(format!("Fusebox is listening on {}", host.url()))?;
    ui::say(format!("  store  {}", options.store.display()))?;
    ui::say(format!("  slots  {}", options.slots))?;
    ui::say(format!("  docs   {}/docs", host.url()))?;
    ui::say("Next, in another terminal:  fusebox deploy FILE.wasm --name NAME  and  fusebox invoke NAME --data TEXT")?;
    let signals = Signals::listen()?;
    signals.first().await;
    tracing::info!("draining: running tasks may end within 30 s; a second signal ends the host at once");
    tokio::select! {
        () = host.drain() => tracing::info!("drained"),
        () = signals.first() => tracing::warn!("ended at once; leased tasks run again at the next start"),
    }
    Ok(())
}

impl Host {
    /// Starts a host. It is ready when this returns.
    ///
    /// # Errors
    /// See [`run`].
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

        let sandbox = Sandbox::new(fusebox_sandbox::Options {
            slots: options.slots,
            ceiling: options.ceiling,
            cache_dir: options.store.join("artifacts"),
            compile_command: CompileCommand {
                program: std::env::current_exe().context("find this program, to compile modules in a child process")?,
                args: vec!["compile-module".into()],
            },
        })?;
        let metrics = Arc::new(Metrics::new(options.slots));
        let modules = Modules::new(sandbox.clone(), metrics.clone());
        let worker = random::worker_id(clock.now());
        let slots = Arc::new(Slots::start(options.slots, &sandbox, worker, &clock, &metrics)?);
        let stop = CancellationToken::new();
        let readiness = Readiness::new();

        let driver = tokio::spawn(driver::Driver::run(
            driver::Options {
                store: store.clone(),
                slots: slots.clone(),
                modules: modules.clone(),
                clock: clock.clone(),
                metrics: metrics.clone(),
            },
            stop.clone(),
        ));
        let upkeep = tokio::spawn(upkeep::run(store.clone(), stop.clone()));
        let app = App {
            store,
            modules,
            invoker: Arc::new(SlotInvoker { slots: slots.clone(), clock: clock.clone() }),
            clock,
            metrics,
            readiness: readiness.clone(),
            settings: RestSettings::loopback(address, options.limits, options.ceiling),
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

/// SIGTERM and SIGINT.
struct Signals {
    terminate: tokio::sync::Mutex<tokio::signal::unix::Signal>,
    interrupt: tokio::sync::Mutex<tokio::signal::unix::Signal>,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            terminate: signal(SignalKind::terminate())?.into(),
            interrupt: signal(SignalKind::interrupt())?.into(),
        })
    }

    fn first(&self) -> impl Future<Output = ()> {
        async {
            let (mut terminate, mut interrupt) = (self.terminate.lock().await, self.interrupt.lock().await);
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
    }
}

/// How long REST waits for open requests in a drain.
pub const REST_DRAIN: Duration = Duration::from_secs(30);
