//! What requests may take together: bytes of large bodies, event streams, tasks waited for. Who finds no room is
//! answered 503 instead of taking all memory. Cheap to clone.

use std::sync::Arc;

use fusebox_core::{error::ErrorCode, limits};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Problem;

/// See the module's documentation.
#[derive(Clone)]
pub struct Room {
    body_bytes: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    awaited: Arc<Semaphore>,
}

/// Kept as long as what it is for.
pub struct InRoom(#[expect(dead_code, reason = "its drop makes room")] Option<OwnedSemaphorePermit>);

impl Default for Room {
    fn default() -> Self {
        let bytes = usize::try_from(limits::BODIES_BYTES_MAX).unwrap_or(usize::MAX);
        Self {
            body_bytes: Arc::new(Semaphore::new(bytes)),
            streams: Arc::new(Semaphore::new(limits::EVENT_STREAMS_MAX)),
            awaited: Arc::new(Semaphore::new(limits::AWAITED_TASKS_MAX)),
        }
    }
}

impl Room {
    /// For a body of so many bytes; small ones need none.
    pub(super) fn body(&self, bytes: u64) -> Result<InRoom, Problem> {
        if bytes <= limits::SMALL_BODY_BYTES {
            return Ok(InRoom(None));
        }
        enter(&self.body_bytes, bytes, "too many large bodies are on their way: try again in a moment")
    }

    /// For an event stream.
    pub(super) fn stream(&self) -> Result<InRoom, Problem> {
        enter(&self.streams, 1, "as many event streams are open as may be: try again in a moment")
    }

    /// For a wait for any of so many tasks.
    pub(super) fn wait(&self, tasks: usize) -> Result<InRoom, Problem> {
        enter(&self.awaited, tasks as u64, "as many tasks are waited for as may be: try again in a moment")
    }
}

fn enter(room: &Arc<Semaphore>, much: u64, refusal: &'static str) -> Result<InRoom, Problem> {
    let much = u32::try_from(much).unwrap_or(u32::MAX);
    match room.clone().try_acquire_many_owned(much) {
        Ok(permit) => Ok(InRoom(Some(permit))),
        Err(_) => Err(Problem::new(ErrorCode::Overloaded, refusal)),
    }
}
