//! `fusebox up`: a whole host in this process, until a signal drains it.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Args;
use fusebox_core::{
    dispatch::Mode,
    function::{LimitError, RunLimits},
};
use fusebox_ui as ui;

use crate::{
    node::args::{AttemptArgs, KeepArgs, LimitArgs, MaxArgs, SecretsArgs},
    node::{
        admin::{self, AdminArgs},
        dispatching::{DispatchArgs, ModeArg},
        egress::EgressArgs,
        host::{Host, HostOptions},
        parts::{self, SLOTS_MAX, StoreAddress},
        signals::Signals,
        slot::IsolateArgs,
        store::ServerStoreArgs,
        web::{self, WebArgs},
    },
    pickles::PickleArgs,
    scripts::find::RuntimeArgs,
};

/// Settings of the host.
#[derive(Debug, Args)]
#[command(after_help = "\
Without API keys the host listens on loopback only and refuses requests that a web page could have sent; with them,
which `fusebox keys` makes, every request needs one.
SIGTERM drains it: running tasks may end within 30 s, the others wait in the store for the next start.")]
pub struct UpArgs {
    /// Address of REST; any but loopback requires API keys
    #[arg(long, env = "FUSEBOX_LISTEN", default_value = "127.0.0.1:8000", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Store of functions and tasks: a directory, created if missing, or redis://…
    #[arg(long, env = "FUSEBOX_STORE", hide_env_values = true, default_value = "fusebox-data", value_name = "DIR|URL")]
    pub store: StoreAddress,
    /// Options of the store.
    #[command(flatten)]
    pub reach: ServerStoreArgs,
    /// Directory of compiled modules [default: the store's, or fusebox-data]
    #[arg(long, env = "FUSEBOX_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// How workers receive attempts
    #[arg(short, long, value_enum, default_value_t)]
    pub mode: ModeArg,
    /// Slots: concurrent runs [default: the number of cores]
    #[arg(short, long = "slots", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SLOTS_MAX))]
    pub workers: Option<u32>,
    /// Settings of the workers' port.
    #[command(flatten)]
    pub link: DispatchArgs,
    /// TLS, cross-origin requests and connections.
    #[command(flatten)]
    pub web: WebArgs,
    /// Time after SIGTERM in which new connections are still accepted, while `/readyz` reports the drain to load
    /// balancers
    #[arg(long, env = "FUSEBOX_DRAIN_DELAY", default_value = "0s", value_parser = web::delay, value_name = "TIME")]
    pub drain_delay: Duration,
    /// Listener for health and metrics.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Key of secrets; its file is created if missing, by default beside the compiled modules.
    #[command(flatten)]
    pub secrets: SecretsArgs,
    /// Runtimes of scripts.
    #[command(flatten)]
    pub scripts: RuntimeArgs,
    /// Pickled functions.
    #[command(flatten)]
    pub pickles: PickleArgs,
    /// Isolation of runs.
    #[command(flatten)]
    pub isolation: IsolateArgs,
    /// Limit of attempts per task.
    #[command(flatten)]
    pub attempts: AttemptArgs,
    /// Retention of ended tasks.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Outgoing HTTP requests of functions.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// Limits of functions that state none.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Largest limits that a function may request.
    #[command(flatten)]
    pub most: MaxArgs,
}

impl UpArgs {
    fn host_options(&self) -> Result<HostOptions, LimitError> {
        let ceiling = self.most.ceiling()?;
        let data = self.data.clone().unwrap_or_else(|| match &self.store {
            StoreAddress::Directory(dir) => dir.clone(),
            StoreAddress::Redis(_) => "fusebox-data".into(),
        });
        Ok(HostOptions {
            listen: self.listen,
            web: self.web.clone(),
            admin: self.admin,
            store: self.store.clone(),
            reach: self.reach.clone(),
            scripts: self.scripts.clone(),
            pickles: self.pickles.clone(),
            secrets_key: self.secrets.file().unwrap_or_else(|| data.join("secrets.key")),
            data,
            mode: Mode::from(self.mode),
            workers: self.link.clone(),
            egress: self.egress.clone(),
            slots: self.workers.unwrap_or_else(parts::cores),
            isolation: self.isolation,
            limits: self.limits.params().complete(RunLimits::default().capped(&ceiling), &ceiling),
            ceiling,
            modules: self.most.modules()?,
            attempts_max: self.attempts.attempts_max,
            keep: self.keep.keep(),
            drain_delay: self.drain_delay,
        })
    }
}

/// Runs a host until a signal, then drains it.
///
/// # Errors
/// Fails if it cannot start: the address or the store is in use, or not allowed.
pub async fn run(args: UpArgs) -> anyhow::Result<()> {
    let options = args.host_options()?;
    options.limits.check(&options.ceiling)?;
    parts::allow_open_files();
    let mut signals = Signals::listen()?;
    let Some(host) = signals.or(Box::pin(Host::start(options.clone()))).await else { return Ok(()) };
    let mut host = host?;
    ui::tell(format!("Fusebox is listening on {}", host.url()));
    ui::tell(format!("  store  {}", options.store));
    ui::tell(format!("  slots  {}", options.slots));
    ui::tell(format!("  docs   {}/docs", host.url()));
    if !host.runtimes().is_empty() {
        ui::tell(format!("  scripts  {}", host.runtimes()));
    }
    options.web.tell(host.functions_address(), host.url().starts_with("https:"));
    if let Some(address) = host.workers_address() {
        ui::tell(format!("  join   fusebox {}-worker 4 tcp://{address}", options.mode.as_str()));
    }
    admin::tell(host.health_address());
    ui::tell("Next, in another terminal:  fusebox deploy FILE.wasm --name NAME  and  fusebox invoke NAME --data TEXT");
    tokio::select! {
        () = signals.next() => {}
        part = host.broken() => anyhow::bail!("{part} stopped unexpectedly: see the log, and restart; nothing is lost"),
    }
    signals.drain(host.drain()).await;
    Ok(())
}
