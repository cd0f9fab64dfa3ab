//! Command line options for the HTTP requests of functions. Wiring only.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use ipnet::IpNet;
use rustls::RootCertStore;

use crate::{
    egress::{
        Egress, address,
        network::System,
        reach::{Denial, Reachable},
    },
    telemetry::metrics::Metrics,
};

/// Options for the HTTP requests that functions send to granted hosts.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "HTTP requests of functions")]
pub struct EgressArgs {
    /// Allow HTTP requests of functions to hosts that they are granted
    #[arg(long, env = "FUSEBOX_EGRESS", value_enum, default_value_t)]
    pub egress: EgressArg,
    /// Private network that functions may reach as well, such as 10.1.0.0/16; several with commas
    #[arg(long, env = "FUSEBOX_EGRESS_ALLOW_PRIVATE", value_delimiter = ',', value_parser = address::network, value_name = "CIDR")]
    pub egress_allow_private: Vec<IpNet>,
    /// Network or host that functions may never reach, such as 203.0.113.0/24, api.example.com or *.example.com:8443; a
    /// host without a port is denied at every port; several with commas
    #[arg(long, env = "FUSEBOX_EGRESS_DENY", value_delimiter = ',', value_name = "CIDR|HOST")]
    pub egress_deny: Vec<Denial>,
}

/// Destinations of functions' HTTP requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum EgressArg {
    /// Public addresses, and those of --egress-allow-private
    #[default]
    On,
    /// No requests at all
    Off,
}

impl EgressArgs {
    /// Creates the sender of requests, whose counters go to `metrics`.
    ///
    /// # Errors
    /// Same as [`EgressArgs::sender`].
    pub fn start(&self, metrics: &Metrics) -> anyhow::Result<Egress> {
        let egress = self.sender()?;
        metrics.count_egress(egress.counters());
        Ok(egress)
    }

    /// Creates the sender of requests. Reads this machine's certificate authorities, since a process in its jail no
    /// longer can.
    ///
    /// # Errors
    /// Fails if TLS cannot be set up.
    pub fn sender(&self) -> anyhow::Result<Egress> {
        Ok(match self.egress {
            EgressArg::Off => Egress::off(),
            EgressArg::On => {
                let reachable = Reachable::new(self.egress_allow_private.clone(), self.egress_deny.clone());
                Egress::new(Arc::new(System), reachable, authorities())?
            }
        })
    }
}

fn authorities() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    // A system's store may hold old, unreadable certificates; the others are still trusted.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        tracing::warn!(
            "this machine has no certificate authorities: https requests of functions fail; install ca-certificates, or \
             name a file in SSL_CERT_FILE"
        );
    }
    roots
}
