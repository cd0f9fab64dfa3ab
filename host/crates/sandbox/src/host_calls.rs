//! Interface to services outside the sandbox: configuration, secrets, the key-value namespace, HTTP requests. The
//! sandbox knows no store and no network, so the caller of a run supplies an implementation.

use std::time::{Duration, Instant};

use fusebox_core::{
    capability::{Grants, HostAnswer, HostCall, Refusal},
    name::{FunctionName, TenantId},
    wire::AttemptId,
};

use crate::StopFlag;

/// Guest that makes a host call.
#[derive(Clone, Copy, Debug)]
pub struct Guest<'a> {
    /// Tenant of the function.
    pub tenant: &'a TenantId,
    /// Name of the function.
    pub function: &'a FunctionName,
    /// Capabilities granted to the function.
    pub grants: &'a Grants,
    /// Attempt of its task; `None` for a sync invoke.
    pub attempt: Option<AttemptId>,
}

/// Answers the calls of a run that require a grant. Invoked on the slot's thread, and only for capabilities in
/// [`Guest::grants`]; the implementation checks the host of an HTTP request.
pub trait HostCalls: Send + Sync {
    /// Answers one call. Must return by the end of `limit`: the guest waits meanwhile, and neither its fuel nor the
    /// epoch can end it.
    ///
    /// # Errors
    /// Returns the refusal to pass to the guest.
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal>;
}

/// Time limit of a host call: the run's deadline, or an earlier stop of the run.
#[derive(Clone, Debug)]
pub struct WaitLimit {
    pub(crate) until: Instant,
    pub(crate) stop: StopFlag,
}

impl WaitLimit {
    /// Returns a limit that ends at `until`, or when `stop` is raised.
    #[must_use]
    pub fn new(until: Instant, stop: StopFlag) -> Self {
        Self { until, stop }
    }

    /// Returns the deadline of the run.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Returns the remaining time; `None` if the deadline has passed or the run is to stop. Poll at least every 10 ms,
    /// since a stop is not signalled in any other way.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        (self.stop.reason().is_none() && !left.is_zero()).then_some(left)
    }
}
