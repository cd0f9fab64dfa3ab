//! Only reader of the operating system's randomness, for ids, lease tokens, keys and nonces.

use fusebox_core::{
    id::{DispatcherId, FunctionId, LeaseToken, TaskId, WorkerId},
    time::Millis,
};

/// Returns `N` unpredictable bytes.
///
/// # Panics
/// Panics if the system provides no randomness: nothing safe can be done without it.
#[must_use]
#[expect(clippy::expect_used, reason = "without randomness lease tokens would be guessable: ending is the safe answer")]
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// Returns a new task id.
#[must_use]
pub fn task_id(now: Millis) -> TaskId {
    TaskId::new(now, bytes())
}

/// Returns a new function version id.
#[must_use]
pub fn function_id(now: Millis) -> FunctionId {
    FunctionId::new(now, bytes())
}

/// Returns a new dispatcher id.
#[must_use]
pub fn dispatcher_id(now: Millis) -> DispatcherId {
    DispatcherId::new(now, bytes())
}

/// Returns a new worker id.
#[must_use]
pub fn worker_id(now: Millis) -> WorkerId {
    WorkerId::new(now, bytes())
}

/// Returns a new lease token.
#[must_use]
pub fn lease_token() -> LeaseToken {
    LeaseToken(bytes())
}
