//! Wake-ups of the embedded store.

use fusebox_core::id::TaskId;
use tokio::sync::broadcast;

use super::EmbeddedStore;
use crate::{Hint, ReadyHint, Wakeups};

impl Wakeups for EmbeddedStore {
    fn changed_hint(&self, task: TaskId) -> Hint {
        self.hints.changed(task)
    }

    fn ended_hint(&self, task: TaskId) -> Hint {
        self.hints.ended(task)
    }

    fn ready_hint(&self) -> ReadyHint {
        self.hints.ready()
    }

    fn cancellations(&self) -> broadcast::Receiver<TaskId> {
        self.hints.cancellations()
    }
}
