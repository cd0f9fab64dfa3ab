//! The seam between a run and what is outside of it: configuration, secrets, the key-value namespace, other hosts. The
//! sandbox knows no store and no network, so whoever starts a run gives it something that asks them.

use std::time::{Duration, Instant};

use fusebox_core::capability::{Answer, Call, Refusal};

use crate::{CallContext, StopFlag};

/// Answers what a run asks for. Called on the slot's thread, only with what the run is granted by [`CallContext::grants`];
/// which hosts an HTTP request may go to is left to whoever reads it.
pub trait HostCalls: Send + Sync {
    /// Answers one call. May block while `patience` lasts, and no longer: a guest waits in here, and neither its fuel nor
    /// the epoch can end it meanwhile.
    ///
    /// # Errors
    /// Why there is no answer.
    fn call(&self, context: &CallContext, call: Call, patience: &Patience) -> Result<Answer, Refusal>;
}

/// How long a call to the outside may take: until the run is over or told to stop.
#[derive(Clone, Debug)]
pub struct Patience {
    pub(crate) until: Instant,
    pub(crate) stop: StopFlag,
}

impl Patience {
    /// Until then, unless the run is stopped before.
    #[must_use]
    pub fn new(until: Instant, stop: StopFlag) -> Self {
        Self { until, stop }
    }

    /// The end of the run's time.
    #[must_use]
    pub fn until(&self) -> Instant {
        self.until
    }

    /// What is left of it; `None` where it is over or the run is to stop. Look again at least every 10 ms: nothing else
    /// tells of a stop.
    #[must_use]
    pub fn left(&self) -> Option<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        (self.stop.reason().is_none() && !left.is_zero()).then_some(left)
    }
}
