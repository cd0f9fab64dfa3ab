//! HTTP requests of guests: decides what untrusted code may reach, and sends what it may. Depends on no other part of
//! the host.
//!
//! | module | holds |
//! |---|---|
//! | [`address`] | classification of addresses |
//! | `request` | parser of a guest's request |
//! | [`network`] | name resolution and connections: the seam to this machine's network |
//! | `connect` | resolves once, checks, connects to the checked address, TLS |
//! | `exchange` | sends the request and reads the response, within bounds |
//! | [`reach`] | reachable addresses, with the operator's additions and denials |
//! | `places` | bounds on concurrent requests |
//! | [`refused`] | reasons of failures and their counters |

pub mod address;
mod connect;
mod exchange;
pub mod network;
mod places;
pub mod reach;
pub mod refused;
mod request;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    limits::HTTP_MS_MAX,
};
use fusebox_sandbox::{Guest, HostCalls, WaitLimit};
use rustls::RootCertStore;
use tokio::{runtime::Handle, time};

use connect::Connector;
use network::Network;
use places::Places;
use reach::Reachable;
use refused::{Counters, Refused};
use request::Outbound;

/// Sends guests' requests. Cheap to clone.
#[derive(Clone)]
pub struct Egress(Arc<Inner>);

struct Inner {
    /// `None` if requests are turned off.
    connector: Option<Connector>,
    places: Places,
    counters: Arc<Counters>,
    runtime: Handle,
}

/// Interval at which a request checks whether its run was stopped.
const STOP_CHECK: Duration = Duration::from_millis(10);

impl Egress {
    /// Creates a sender over this network that trusts these root certificates. Must be called within a runtime, on
    /// which the requests run.
    ///
    /// # Errors
    /// Fails if TLS cannot be set up.
    pub fn new(network: Arc<dyn Network>, reachable: Reachable, roots: RootCertStore) -> Result<Self, rustls::Error> {
        Ok(Self::of(Some(Connector::new(network, reachable, roots)?)))
    }

    /// Creates a sender that refuses every request.
    #[must_use]
    pub fn off() -> Self {
        Self::of(None)
    }

    fn of(connector: Option<Connector>) -> Self {
        let runtime = Handle::current();
        Self(Arc::new(Inner { connector, places: Places::default(), counters: Arc::default(), runtime }))
    }

    /// Returns the counters of requests.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// Sends a request of a run and waits for the response.
    ///
    /// # Errors
    /// Fails if the request is invalid or not allowed, or if no complete response arrives in time.
    pub async fn send(&self, request: &Bytes, guest: Guest<'_>, limit: &WaitLimit) -> Result<Bytes, Refused> {
        let answer = tokio::select! {
            answer = self.sent(request, guest, limit) => answer,
            () = stopped(limit) => Err(Refused::Stopped),
        };
        self.0.counters.count(&answer);
        if let Err(refused) = &answer {
            tracing::debug!(tenant = %guest.tenant, function = %guest.function, %refused, "a guest's request failed");
        }
        answer
    }

    async fn sent(&self, request: &Bytes, guest: Guest<'_>, limit: &WaitLimit) -> Result<Bytes, Refused> {
        let connector = self.0.connector.as_ref().ok_or(Refused::Off)?;
        let outbound = Outbound::parse(request)?;
        if !guest.grants.allow_host(&outbound.name(), outbound.port, outbound.scheme_port) {
            return Err(Refused::Host(outbound.place()));
        }
        // Taken before name resolution, so that a deliberately slow name server uses up only its own tenant's share.
        let place = Arc::new(self.0.places.take(guest.tenant).ok_or(Refused::Busy)?);
        let until = limit.until().min(Instant::now() + Duration::from_millis(HTTP_MS_MAX));
        let exchanged =
            async { exchange::exchange(connector.connect(&outbound, place.clone()).await?, outbound).await };
        time::timeout_at(until.into(), exchanged).await.map_err(|_| Refused::TimedOut)?
    }
}

impl HostCalls for Egress {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let HostCall::Http(request) = call else { return Err(Refusal::Invalid) };
        let answer = self.0.runtime.block_on(self.send(&request.into(), guest, limit));
        answer.map(HostAnswer::Http).map_err(|refused| refused.refusal())
    }
}

/// Completes once the run is stopped. The deadline is not checked here: `sent` enforces it.
async fn stopped(limit: &WaitLimit) {
    let mut ticks = time::interval(STOP_CHECK);
    while limit.left().is_some() || Instant::now() >= limit.until() {
        ticks.tick().await;
    }
}

#[cfg(test)]
mod tests;
