//! Desk of a run, on which its futures put the HTTP requests that the slot's thread sends.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Instant,
};

use fusebox_core::capability::{Capability, HostAnswer, HostCall, HttpRequest, Refusal};
use tokio::sync::{Notify, oneshot};

use crate::{Call, host_calls::WaitLimit};

/// A request that waits to be sent. The number that wait is bounded by the run's resources.
pub(in crate::component) struct Asked {
    request: HttpRequest,
    answer: oneshot::Sender<Result<HostAnswer, Refusal>>,
}

impl Asked {
    /// Sends the request and waits for the response, no longer than the run may wait.
    pub(in crate::component) fn send(self, call: &Call, deadline: Instant) {
        let limit = WaitLimit::new(deadline, call.stop.clone());
        let answer = match &call.host_calls {
            _ if !call.invocation.grants.has(Capability::Http) => Err(Refusal::Refused),
            Some(calls) => calls.call(call.guest(), HostCall::Http(self.request), &limit),
            None => Err(Refusal::Unavailable),
        };
        // The guest may have dropped the request.
        let _ = self.answer.send(answer);
    }
}

/// Requests of a run. Cheap to clone.
#[derive(Clone, Default)]
pub(in crate::component) struct Desk(Arc<Shared>);

#[derive(Default)]
struct Shared {
    asked: Mutex<VecDeque<Asked>>,
    called: Notify,
    /// Fuel of requests and responses that has not been charged.
    owed: AtomicU64,
}

impl Desk {
    /// Has a request sent and returns the answer.
    pub(super) async fn ask(&self, request: HttpRequest) -> Result<HostAnswer, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.asked().push_back(Asked { request, answer });
        self.0.called.notify_one();
        answered.await.unwrap_or(Err(Refusal::Unavailable))
    }

    /// Waits for the next request.
    pub(in crate::component) async fn next(&self) -> Asked {
        loop {
            if let Some(asked) = self.asked().pop_front() {
                return asked;
            }
            self.0.called.notified().await;
        }
    }

    /// Completes while a request waits. Never wakes its task, which the request has been made by.
    pub(super) async fn is_asked(&self) {
        poll_fn(|_| if self.asked().is_empty() { Poll::Pending } else { Poll::Ready(()) }).await;
    }

    /// Notes fuel to be charged.
    pub(in crate::component) fn owe(&self, fuel: u64) {
        self.0.owed.fetch_add(fuel, Ordering::Relaxed);
    }

    /// Returns the fuel noted since the last call.
    pub(in crate::component) fn settle(&self) -> u64 {
        self.0.owed.swap(0, Ordering::Relaxed)
    }

    fn asked(&self) -> MutexGuard<'_, VecDeque<Asked>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
