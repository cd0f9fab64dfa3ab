//! `fusebox helper`: starts compile children and connects to the dispatchers for a jailed worker. Started by the
//! worker, which is connected to its stdin; not by people.

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
    sync::Arc,
};

use clap::Args;
use fusebox_jail::{Inmate, Plan, Setting, User};
use fusebox_sandbox::CompileCommand;
use fusebox_ui as ui;
use rustix::process::{Resource, Signal, set_parent_process_death_signal};

use crate::{
    helper::{serve, vitals::Worker},
    node::{admin, jail::JailArg, parts},
};

/// Limit of file descriptors: a few for each request and each compile child.
const DESCRIPTORS_MAX: u64 = 256;
/// Threads that wait for the worker's answers about its health.
const VITALS_THREADS: usize = 4;

/// Settings of the helper.
#[derive(Clone, Debug, Args)]
pub struct HelperArgs {
    /// Address that it may connect to; any other is refused
    #[arg(long = "address", required = true, value_name = "HOST:PORT")]
    pub addresses: Vec<String>,
    /// How strictly to require the jail where the kernel lacks a part of it
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
    /// User to switch to if started as root
    #[arg(long, value_name = "UID[:GID]", default_value_t = User::NOBODY)]
    pub user: User,
}

impl HelperArgs {
    /// Returns the settings as command line arguments.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let (jail, user) = (Setting::from(self.jail).to_string(), self.user.to_string());
        let addresses = self.addresses.iter().flat_map(|address| ["--address", address]);
        let words = ["helper", "--jail", &jail, "--user", &user].into_iter().chain(addresses);
        words.map(str::to_owned).collect()
    }
}

/// Serves the worker on stdin until it disconnects.
#[must_use]
pub fn run(args: &HelperArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(format!("the helper of a worker ends: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &HelperArgs) -> anyhow::Result<()> {
    fusebox_jail::close_inherited();
    fusebox_jail::ignore_hangup();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let port = |address: &String| {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        port.ok_or_else(|| anyhow::anyhow!("`{address}` has no port"))
    };
    let ports = args.addresses.iter().map(port).collect::<Result<_, _>>()?;
    let program = parts::program()?;
    let limits = vec![(Resource::Core, 0), (Resource::Nofile, DESCRIPTORS_MAX)];
    Plan { inmate: Inmate::Helper { ports }, user: args.user, limits }.enter(args.jail.into())?;
    let compile = CompileCommand {
        program,
        args: ["compile-module", "--jail", &Setting::from(args.jail).to_string()].map(Into::into).to_vec(),
    };
    Ok(serve::serve(&control, &Arc::new(compile), &args.addresses, |channel| {
        if let Err(error) = tell_vitals(channel) {
            ui::note(format!("the helper of a worker cannot serve its health: {error}"));
        }
    })?)
}

/// Answers health requests on the listener that the worker hands over, on a separate thread.
fn tell_vitals(channel: UnixStream) -> io::Result<()> {
    let (listener, worker) = Worker::take(channel)?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(VITALS_THREADS).enable_all().build()?;
    let serve = move || runtime.block_on(admin::serve(listener, Arc::new(worker)));
    std::thread::Builder::new().name("vitals".to_owned()).spawn(serve).map(drop)
}
