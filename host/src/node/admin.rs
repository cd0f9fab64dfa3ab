//! `--admin-listen`: health, readiness and metrics on a separate listener, which no other request can fill up.

use std::{
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use clap::Args;
use fusebox_ui as ui;

use crate::{
    rest::{self, server::Bounds},
    telemetry::{
        health::Readiness,
        metrics::Metrics,
        vitals::{Probe, ProbeResult, Unhealthy, Vitals},
    },
};
use fusebox_store::Store;

/// Only a few health checkers and scrapers connect; a connection may block a probe no longer than probes themselves
/// wait.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    trusted: &[],
    headers: Duration::from_secs(5),
    keep_alive: Duration::from_secs(75),
    stall: Duration::from_secs(5),
};

/// Listener for health checks and scrapers.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct AdminArgs {
    /// Address of a separate listener that answers only `/healthz`, `/readyz` and `/metrics`, without a key; port 0
    /// takes a free one [default: none]
    #[arg(long, env = "FUSEBOX_ADMIN_LISTEN", value_name = "ADDRESS:PORT")]
    pub admin_listen: Option<SocketAddr>,
}

impl AdminArgs {
    /// Binds the listener, if `--admin-listen` was given.
    ///
    /// # Errors
    /// Fails if the address is in use or does not belong to this machine.
    pub fn bind(&self) -> anyhow::Result<Option<TcpListener>> {
        let Some(address) = self.admin_listen else { return Ok(None) };
        let listener = TcpListener::bind(address)
            .with_context(|| format!("cannot listen on {address}: choose another address with --admin-listen"))?;
        Ok(Some(listener))
    }

    /// Binds and serves, if `--admin-listen` was given, until the process ends: also while it drains. Returns the
    /// address.
    ///
    /// # Errors
    /// As [`AdminArgs::bind`].
    pub fn start(&self, vitals: impl Vitals + 'static) -> anyhow::Result<Option<SocketAddr>> {
        let Some(listener) = self.bind()? else { return Ok(None) };
        let address = listener.local_addr()?;
        tokio::spawn(serve(listener, Arc::new(vitals)));
        Ok(Some(address))
    }
}

/// Prints the address of health and metrics, if there is one. Servers print it after their own: programs take the first
/// URL for that.
pub fn tell(address: Option<SocketAddr>) {
    if let Some(address) = address {
        ui::tell(format!("Health and metrics are at http://{address}"));
    }
}

/// Serves for as long as the process lives.
pub async fn serve(listener: TcpListener, vitals: Arc<dyn Vitals>) {
    let listener = listener.set_nonblocking(true).and_then(|()| tokio::net::TcpListener::from_std(listener));
    match listener {
        Ok(listener) => {
            rest::server::serve(listener, None, rest::admin::router(vitals), BOUNDS, std::future::pending()).await;
        }
        Err(error) => tracing::error!(%error, "health and metrics are not served"),
    }
}

/// Health and metrics of this process.
pub struct OwnVitals {
    /// Store of the process, if it has one.
    pub store: Option<Arc<dyn Store>>,
    /// Metrics of the process.
    pub metrics: Arc<Metrics>,
    /// Readiness of the process.
    pub readiness: Readiness,
}

impl OwnVitals {
    /// Creates the vitals of a process with a store.
    #[must_use]
    pub fn new(store: &Arc<dyn Store>, metrics: &Arc<Metrics>, readiness: &Readiness) -> Self {
        Self { store: Some(store.clone()), metrics: metrics.clone(), readiness: readiness.clone() }
    }
}

#[async_trait]
impl Vitals for OwnVitals {
    async fn tell(&self, asked: Probe) -> ProbeResult {
        let not_well = |error: &dyn std::fmt::Display| Unhealthy(error.to_string());
        match asked {
            Probe::Alive => Ok("ok".to_owned()),
            Probe::Ready => {
                if !self.readiness.is_ready() {
                    return Err(Unhealthy(format!("the process accepts no work: it is {}", self.readiness.as_str())));
                }
                if let Some(store) = &self.store {
                    store.check().await.map_err(|error| not_well(&error))?;
                }
                Ok(self.readiness.warnings().join(" "))
            }
            Probe::Metrics => {
                let backlog = match &self.store {
                    Some(store) => store.backlog().await.map_err(|error| not_well(&error))?,
                    None => Vec::new(),
                };
                self.metrics.exposition(&backlog).map_err(|error| not_well(&error))
            }
        }
    }
}
