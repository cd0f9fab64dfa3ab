//! Parts of a task's record that few tasks have: tags, past attempts, and the dispatcher of a lease that the record shows.
//! One JSON object, which may get more fields.

use fusebox_core::{
    id::DispatcherId,
    tags::Tags,
    task::{PastAttempt, Task, TaskState},
};
use serde::{Deserialize, Serialize};

use super::{decode_open, encode_open};
use crate::Result;

/// See the module's documentation.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct More {
    #[serde(skip_serializing_if = "Tags::is_empty")]
    tags: Tags,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    past: Vec<PastAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dispatcher: Option<DispatcherId>,
}

impl More {
    /// Returns the parts of a task.
    pub(super) fn of(task: &Task) -> Self {
        let dispatcher = match &task.state {
            TaskState::Running(lease) => lease.dispatcher,
            TaskState::Queued { .. } | TaskState::Completed(_) | TaskState::Failed(..) => None,
        };
        // Most tasks have neither, so nothing is allocated.
        Self { tags: task.tags.clone(), past: task.past.clone(), dispatcher }
    }

    /// Encodes the parts; empty if there is none.
    ///
    /// # Errors
    /// As [`encode_open`].
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let is_empty = self.tags.is_empty() && self.past.is_empty() && self.dispatcher.is_none();
        if is_empty { Ok(Vec::new()) } else { encode_open(self) }
    }

    /// Decodes the parts; none if there are no bytes.
    ///
    /// # Errors
    /// [`crate::Error::Corrupt`] if the bytes are invalid.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        if bytes.is_empty() { Ok(Self::default()) } else { decode_open("a task's tags and attempts", bytes) }
    }

    /// Adds the parts to their task.
    pub(super) fn complete(self, task: &mut Task) {
        task.tags = self.tags;
        task.past = self.past;
        if let TaskState::Running(lease) = &mut task.state {
            lease.dispatcher = self.dispatcher;
        }
    }
}
