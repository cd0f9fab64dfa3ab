//! Wake-ups of the store in Redis.

use fusebox_core::id::TaskId;
use tokio::sync::broadcast;

use super::RedisStore;
use crate::{Hint, ReadyHint, Wakeups};

impl Wakeups for RedisStore {
    fn changed_hint(&self, task: TaskId) -> Hint {
        self.pubsub.hints().changed(task)
    }

    fn ended_hint(&self, task: TaskId) -> Hint {
        self.pubsub.hints().ended(task)
    }

    fn ready_hint(&self) -> ReadyHint {
        self.pubsub.hints().ready()
    }

    fn cancellations(&self) -> broadcast::Receiver<TaskId> {
        self.pubsub.hints().cancellations()
    }
}
