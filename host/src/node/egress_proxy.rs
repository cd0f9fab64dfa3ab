//! `fusebox egress-proxy`: sends guests' HTTP requests for a jailed worker. Started by the worker, which is connected
//! to its stdin; not by people.

use std::{
    io,
    os::{fd::AsFd as _, unix::net::UnixStream},
    process::ExitCode,
};

use clap::{Args, ValueEnum as _};
use fusebox_jail::{Inmate, Plan, Setting, User};
use fusebox_ui as ui;
use rustix::process::{Resource, Signal, set_parent_process_death_signal};

use crate::{
    helper::proxy,
    node::{egress::EgressArgs, jail::JailArg},
    telemetry::metrics::Metrics,
};

/// Limit of file descriptors: two for each request in progress, and a few more.
const DESCRIPTORS_MAX: u64 = 1_024;

/// Settings of the proxy.
#[derive(Clone, Debug, Args)]
pub struct EgressProxyArgs {
    /// Settings of the worker, passed on.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// How strictly to require the jail where the kernel lacks a part of it
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
    /// User to switch to if started as root
    #[arg(long, value_name = "UID[:GID]", default_value_t = User::NOBODY)]
    pub user: User,
}

impl EgressProxyArgs {
    /// Returns the settings as command line arguments.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let egress =
            self.egress.egress.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let (jail, user) = (Setting::from(self.jail).to_string(), self.user.to_string());
        let mut words =
            ["egress-proxy", "--egress", &egress, "--jail", &jail, "--user", &user].map(str::to_owned).to_vec();
        for network in &self.egress.egress_allow_private {
            words.extend(["--egress-allow-private".to_owned(), network.to_string()]);
        }
        for denied in &self.egress.egress_deny {
            words.extend(["--egress-deny".to_owned(), denied.to_string()]);
        }
        words
    }
}

/// Serves the worker on stdin until it disconnects.
#[must_use]
pub fn run(args: &EgressProxyArgs) -> ExitCode {
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui::note(format!("the egress proxy of a worker ends: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn serve(args: &EgressProxyArgs) -> anyhow::Result<()> {
    fusebox_jail::close_inherited();
    fusebox_jail::ignore_hangup();
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let limits = vec![(Resource::Core, 0), (Resource::Nofile, DESCRIPTORS_MAX)];
    Plan { inmate: Inmate::Proxy, user: args.user, limits }.enter(args.jail.into())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let egress = {
        let _entered = runtime.enter();
        args.egress.start(&Metrics::new(0))?
    };
    Ok(proxy::serve(&control, &egress)?)
}
