//! `fusebox up`: a whole host in this process, until a signal drains it.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use fusebox_core::function::RunLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::host::{Host, HostOptions};
use crate::{
    cli::{LimitArgs, MaxArgs},
    ui,
};

/// Most slots of one host: each reserves address space and a thread.
const SLOTS_MAX: i64 = 1_024;

/// How the host is set up.
#[derive(Debug, Args)]
#[command(after_help = "\
Without API keys the host listens on loopback only and refuses requests that a web page could have sent.
SIGTERM drains it: running tasks may end within 30 s, the others wait in the store for the next start.")]
pub struct UpArgs {
    /// Where REST listens
    #[arg(long, env = "FUSEBOX_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// The store's directory; made where it is not there
    #[arg(long, env = "FUSEBOX_STORE", default_value = "fusebox-data", value_parser = directory, value_name = "DIR")]
    pub store: PathBuf,
    /// Slots: runs that may go on at once [default: the number of cores]
    #[arg(short, long = "slots", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub workers: Option<u32>,
    /// Limits of functions that state none.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// The most a function may ask for.
    #[command(flatten)]
    pub most: MaxArgs,
}

impl UpArgs {
    fn host_options(&self) -> HostOptions {
        let ceiling = self.most.ceiling();
        HostOptions {
            listen: self.listen,
            store: self.store.clone(),
            slots: self.workers.unwrap_or_else(cores),
            limits: self.limits.or(RunLimits::default().capped(&ceiling)),
            ceiling,
        }
    }
}

/// A store's directory; an address of a store elsewhere would be made a directory of that name.
fn directory(text: &str) -> Result<PathBuf, String> {
    match text.contains("://") {
        true => Err("`up` keeps its store in a directory of its own: give a path".to_owned()),
        false => Ok(text.into()),
    }
}

/// The number of cores this process may use.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

/// Runs a host until a signal, then drains it.
///
/// # Errors
/// Where it cannot start: the address or the store is in use, or not allowed.
pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let options = args.host_options();
    options.limits.check(&options.ceiling)?;
    allow_open_files();
    let mut signals = Signals::listen()?;
    let mut host = Host::start(options.clone()).await?;
    ui::say(format!("Fusebox is listening on {}", host.url()))?;
    ui::say(format!("  store  {}", options.store.display()))?;
    ui::say(format!("  slots  {}", options.slots))?;
    ui::say(format!("  docs   {}/docs", host.url()))?;
    ui::say("Next, in another terminal:  fusebox deploy FILE.wasm --name NAME  and  fusebox invoke NAME --data TEXT")?;
    tokio::select! {
        () = signals.next() => {}
        part = host.broken() => anyhow::bail!("{part} ended by itself, see the log; start the host again, nothing is lost"),
    }
    tracing::info!("draining: running tasks may end within 30 s; a second signal ends the host at once");
    tokio::select! {
        () = host.drain() => tracing::info!("drained"),
        () = signals.next() => tracing::warn!("ended at once; leased tasks run again at the next start"),
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one, as servers do: it is low only for programs that use select(2).
fn allow_open_files() {
    let most = getrlimit(Resource::Nofile).maximum;
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most }) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
