//! What functions may reach over HTTP, as the command line says it. Wiring only.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use rustls::RootCertStore;

use crate::{
    egress::{
        Egress,
        address::Cidr,
        network::System,
        reach::{Denial, Reachable},
    },
    telemetry::metrics::Metrics,
};

/// Requests that functions send to the hosts that they are granted.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "HTTP requests of functions")]
pub struct EgressArgs {
    /// Whether functions may send HTTP requests to hosts that they are granted
    #[arg(long, env = "FUSEBOX_EGRESS", value_enum, default_value_t)]
    pub egress: EgressArg,
    /// A network that is not public and that they may reach all the same, such as 10.1.0.0/16; several with commas
    #[arg(long, env = "FUSEBOX_EGRESS_ALLOW_PRIVATE", value_delimiter = ',', value_name = "CIDR")]
    pub egress_allow_private: Vec<Cidr>,
    /// A network or host that they may not reach, whatever is granted and allowed, such as 203.0.113.0/24, api.example.com
    /// or *.example.com:8443; a host without a port at every port; several with commas
    #[arg(long, env = "FUSEBOX_EGRESS_DENY", value_delimiter = ',', value_name = "CIDR|HOST")]
    pub egress_deny: Vec<Denial>,
}

/// Whether there are any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EgressArg {
    /// Public addresses, and those of --egress-allow-private
    #[default]
    On,
    /// No requests at all
    Off,
}

impl EgressArgs {
    /// What sends them. Reads this machine's certificate authorities, which a process that jails itself later could not.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn start(&self, metrics: &Metrics) -> anyhow::Result<Egress> {
        let egress = match self.egress {
            EgressArg::Off => Egress::off(),
            EgressArg::On => {
                let reachable = Reachable::new(self.egress_allow_private.clone(), self.egress_deny.clone());
                Egress::new(Arc::new(System), reachable, authorities())?
            }
        };
        metrics.count_egress(egress.counters());
        Ok(egress)
    }
}

fn authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // Old ones in a system's store may be unreadable, which is no reason to trust none.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        tracing::warn!(
            "this machine knows no certificate authorities: https requests of functions fail; install ca-certificates, or \
             name a file in SSL_CERT_FILE"
        );
    }
    roots
}
