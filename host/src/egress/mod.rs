//! HTTP requests that guests send: what a function may reach is decided here, for a stranger's code that will try
//! everything else. Knows no other part of the host.
//!
//! | module | holds |
//! |---|---|
//! | [`address`] | addresses by what they are |
//! | `request` | a guest's request from its bytes |
//! | [`network`] | names to addresses, addresses to connections: the seam to this machine's network |
//! | `connect` | resolve once, check, connect to what was checked, TLS |
//! | `exchange` | the request and the answer, within their bounds |
//! | [`reach`] | what may be reached, by the operator's word too |
//! | `places` | how many may be on their way |
//! | [`refused`] | why there is no answer, and how often |

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
    capability::{Answer, Call, Refusal},
    limits::HTTP_MS_MAX,
};
use fusebox_sandbox::{CallContext, HostCalls, Patience};
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
    /// `None` where requests are turned off.
    connector: Option<Connector>,
    places: Places,
    counters: Arc<Counters>,
    runtime: Handle,
}

/// A stopped run's request ends within this time.
const STOP_CHECK: Duration = Duration::from_millis(10);

impl Egress {
    /// One that sends requests over this network, to servers that these roots vouch for. Within a runtime, on which
    /// requests run.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(network: Arc<dyn Network>, reachable: Reachable, roots: RootCertStore) -> Result<Self, rustls::Error> {
        Ok(Self::of(Some(Connector::new(network, reachable, roots)?)))
    }

    /// One that refuses every request.
    #[must_use]
    pub fn off() -> Self {
        Self::of(None)
    }

    fn of(connector: Option<Connector>) -> Self {
        let runtime = Handle::current();
        Self(Arc::new(Inner { connector, places: Places::default(), counters: Arc::default(), runtime }))
    }

    /// What became of requests.
    #[must_use]
    pub fn counters(&self) -> &Arc<Counters> {
        &self.0.counters
    }

    /// Sends a request of a run and waits for its answer.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn send(&self, request: &Bytes, run: &CallContext, patience: &Patience) -> Result<Bytes, Refused> {
        let answer = tokio::select! {
            answer = self.sent(request, run, patience) => answer,
            () = stopped(patience) => Err(Refused::Stopped),
        };
        self.0.counters.count(&answer);
        if let Err(refused) = &answer {
            tracing::debug!(tenant = %run.tenant, function = %run.function, %refused, "a guest's request was not answered");
        }
        answer
    }

    async fn sent(&self, request: &Bytes, run: &CallContext, patience: &Patience) -> Result<Bytes, Refused> {
        let connector = self.0.connector.as_ref().ok_or(Refused::Off)?;
        let outbound = Outbound::parse(request)?;
        if !run.grants.allow_host(&outbound.name(), outbound.port, outbound.scheme_port) {
            return Err(Refused::Host(outbound.place()));
        }
        // A name server that is slow on purpose takes its own tenant's places, not everybody's threads.
        let place = Arc::new(self.0.places.take(&run.tenant).ok_or(Refused::Busy)?);
        let until = patience.until().min(Instant::now() + Duration::from_millis(HTTP_MS_MAX));
        let exchanged =
            async { exchange::exchange(connector.connect(&outbound, place.clone()).await?, outbound).await };
        time::timeout_at(until.into(), exchanged).await.map_err(|_| Refused::TimedOut)?
    }
}

impl HostCalls for Egress {
    fn call(&self, context: &CallContext, call: Call, patience: &Patience) -> Result<Answer, Refusal> {
        let Call::Http(request) = call else { return Err(Refusal::Invalid) };
        let answer = self.0.runtime.block_on(self.send(&request.into(), context, patience));
        answer.map(Answer::Http).map_err(|refused| refused.refusal())
    }
}

/// Ends where the run is told to stop; its time is kept by who sends.
async fn stopped(patience: &Patience) {
    let mut ticks = time::interval(STOP_CHECK);
    while patience.left().is_some() || Instant::now() >= patience.until() {
        ticks.tick().await;
    }
}

#[cfg(test)]
mod tests;
