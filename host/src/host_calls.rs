//! Routes host calls of slots' runs: HTTP requests to the sender of requests, all others to the keeper of
//! configuration, secrets and key-value entries. Also blocks a slot's thread until async code has answered.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use fusebox_core::{
    capability::{HostAnswer, HostCall, Refusal},
    limits::CALL_MS_MAX,
};
use fusebox_sandbox::{Guest, HostCalls, WaitLimit};

/// Interval at which a waiting thread checks whether its run was stopped.
const LOOK: Duration = Duration::from_millis(10);

/// Sends HTTP requests to one handler, and all other calls to another.
pub struct Routed {
    /// Handler of HTTP requests.
    pub http: Arc<dyn HostCalls>,
    /// Handler of all other calls.
    pub rest: Arc<dyn HostCalls>,
}

impl HostCalls for Routed {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        match call {
            HostCall::Http(_) => self.http.call(guest, call, limit),
            _ => self.rest.call(guest, call, limit),
        }
    }
}

/// Waits on a slot's thread for an answer: until the deadline of `limit`, and at most [`CALL_MS_MAX`].
///
/// # Errors
/// Fails with the answer's own refusal, with [`Refusal::Unavailable`] if the sender is dropped, or with
/// [`Refusal::TimedOut`].
pub fn wait(told: &Receiver<Result<HostAnswer, Refusal>>, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
    let until = Instant::now() + Duration::from_millis(CALL_MS_MAX);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Some(left) = limit.left().map(|own| own.min(left)).filter(|left| !left.is_zero()) else {
            return Err(Refusal::TimedOut);
        };
        match told.recv_timeout(left.min(LOOK)) {
            Ok(answer) => return answer,
            Err(RecvTimeoutError::Disconnected) => return Err(Refusal::Unavailable),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use fusebox_core::outcome::StopReason;
    use fusebox_sandbox::StopFlag;

    use super::*;

    #[test]
    fn a_wait_ends_with_an_answer_with_its_time_or_with_a_stop() {
        let stop = StopFlag::default();
        let limit = |ms| WaitLimit::new(Instant::now() + Duration::from_millis(ms), stop.clone());
        let (tell, told) = mpsc::sync_channel(1);
        tell.send(Ok(HostAnswer::Set(7))).unwrap();
        assert_eq!(wait(&told, &limit(60_000)), Ok(HostAnswer::Set(7)));
        assert_eq!(wait(&told, &limit(20)), Err(Refusal::TimedOut));
        stop.raise(StopReason::Cancelled);
        assert_eq!(wait(&told, &limit(60_000)), Err(Refusal::TimedOut));
        drop(tell);
        let unstopped = WaitLimit::new(Instant::now() + Duration::from_secs(60), StopFlag::default());
        assert_eq!(wait(&told, &unstopped), Err(Refusal::Unavailable));
    }
}
