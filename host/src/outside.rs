//! What slots' runs ask, put together: whoever keeps values answers for configuration, secrets and namespaces, and whoever
//! may reach other hosts sends requests. And how a slot's thread waits for what async code answers.

use std::{
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use fusebox_core::{
    capability::{Answer, Call, Refusal},
    limits::CALL_MS_MAX,
};
use fusebox_sandbox::{CallContext, HostCalls, Patience};

/// How often a thread that waits looks whether its run is to stop.
const LOOK: Duration = Duration::from_millis(10);

/// Asks one for requests to other hosts, and another for everything else.
pub struct Routed {
    /// Sends requests to other hosts.
    pub http: Arc<dyn HostCalls>,
    /// Answers the rest.
    pub rest: Arc<dyn HostCalls>,
}

impl HostCalls for Routed {
    fn call(&self, context: &CallContext, call: Call, patience: &Patience) -> Result<Answer, Refusal> {
        match call {
            Call::Http(_) => self.http.call(context, call, patience),
            _ => self.rest.call(context, call, patience),
        }
    }
}

/// Waits for an answer on a slot's thread: as long as there is patience, and at most [`CALL_MS_MAX`].
///
/// # Errors
/// What was answered; [`Refusal::Unavailable`] where nobody is going to answer, [`Refusal::TimedOut`] where nobody has.
pub fn wait(told: &Receiver<Result<Answer, Refusal>>, patience: &Patience) -> Result<Answer, Refusal> {
    let until = Instant::now() + Duration::from_millis(CALL_MS_MAX);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Some(left) = patience.left().map(|own| own.min(left)).filter(|left| !left.is_zero()) else {
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
        let patience = |ms| Patience::new(Instant::now() + Duration::from_millis(ms), stop.clone());
        let (tell, told) = mpsc::sync_channel(1);
        tell.send(Ok(Answer::Set(7))).unwrap();
        assert_eq!(wait(&told, &patience(60_000)), Ok(Answer::Set(7)));
        assert_eq!(wait(&told, &patience(20)), Err(Refusal::TimedOut));
        stop.raise(StopReason::Cancelled);
        assert_eq!(wait(&told, &patience(60_000)), Err(Refusal::TimedOut));
        drop(tell);
        let unstopped = Patience::new(Instant::now() + Duration::from_secs(60), StopFlag::default());
        assert_eq!(wait(&told, &unstopped), Err(Refusal::Unavailable));
    }
}
