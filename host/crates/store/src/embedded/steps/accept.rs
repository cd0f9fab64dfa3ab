//! Acceptance of new tasks and replays.

use fusebox_core::{
    error::ErrorCode,
    id::{LeaseToken, WorkerId},
    lifecycle::Fence,
    outcome::{Failure, Receipt},
    task::{Lease, Task, TaskState},
};

use bytes::Bytes;

use super::{Found, Steps, tags_of};
use crate::{
    Accepted, NewTask, Result,
    embedded::{
        engine::Space,
        keys::{self, Origin},
        records::{self, Carried},
    },
    new_task::REPLAYED_BYTES_MAX,
};

impl Steps<'_> {
    /// Accepts tasks independently of each other; returns the answers in their order.
    pub(in crate::embedded) fn accept(&mut self, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
        let answers = tasks.iter().map(|task| self.accept_one(task, &task.input)).collect();
        self.write_accepted();
        answers
    }

    /// Accepts replays of dead letters with the letters' inputs; returns the answers in their order. Handles only as
    /// many as one step may copy, but at least one.
    pub(in crate::embedded) fn replay(&mut self, tasks: &[NewTask]) -> Result<Vec<Accepted>> {
        let (mut answers, mut copied) = (Vec::new(), 0);
        for task in tasks {
            if copied >= REPLAYED_BYTES_MAX {
                break;
            }
            let known = self.group.contains(Space::Records, &keys::origin(task.id))?;
            let input = if known { Some(Bytes::new()) } else { self.letter_input(task)? };
            answers.push(match input {
                Some(input) => {
                    copied += input.len();
                    self.accept_one(task, &input)?
                }
                None => Accepted::InputGone,
            });
        }
        self.write_accepted();
        Ok(answers)
    }

    /// Writes the records of accepted tasks in the order of their keys, which fills pages one after the other.
    fn write_accepted(&mut self) {
        self.accepted.sort_unstable();
        for (key, record) in std::mem::take(&mut self.accepted) {
            self.group.put(Space::Records, key, record);
        }
    }

    fn letter_input(&self, task: &NewTask) -> Result<Option<Bytes>> {
        let letter = task.retry_of.map(|letter| self.find(letter)).transpose()?.flatten();
        match letter.filter(|Found { task: letter, .. }| letter.tenant == task.tenant && letter.is_dead_letter()) {
            Some(Found { task, carried, .. }) => self.whole(&keys::input(task.id), &carried.input).map(Some),
            None => Ok(None),
        }
    }

    fn accept_one(&mut self, new: &NewTask, input: &Bytes) -> Result<Accepted> {
        if let Some(origin) = self.origin(new.id)? {
            // It may be another one of this call.
            self.write_accepted();
            let Found { task: known, .. } = self.find_at(new.id, &origin)?;
            let same = known.tenant == new.tenant && known.fingerprint == new.fingerprint;
            return Ok(if same { Accepted::Duplicate } else { Accepted::Conflict });
        }
        let counters = self.counters(&new.tenant)?;
        if counters.is_closed {
            return Ok(Accepted::NoTenant);
        }
        if counters.waiting() >= new.queued_max {
            return Ok(Accepted::QueueFull);
        }
        let mut task = Task { input_bytes: new.input_bytes(input.len()), ..new.accepted(self.now) };
        if counters.stored_bytes.saturating_add(task.stored_bytes()) > new.stored_max {
            return Ok(Accepted::BytesReached);
        }
        let mut carried = Carried::default();
        match self.hold_function(&task.tenant, task.function)? {
            true => carried.input = self.piece(keys::input(task.id), input),
            false if self.is_gone(&task.tenant)? => return Ok(Accepted::NoTenant),
            false => self.fail_without_function(&mut task),
        }
        self.group.put(Space::Records, keys::origin(task.id), Origin::of(&task).encode());
        for key in tags_of(&task) {
            self.group.put(Space::Index, key, []);
        }
        let place = self.enter(&task, &mut carried)?;
        self.recount(&task.tenant, 0, task.stored_bytes())?;
        self.accepted.push((Origin::of(&task).record(place, task.id), records::encode_task(&task, &carried)?));
        Ok(Accepted::New { at: self.now })
    }

    /// Ends a task whose function was deleted after its caller had looked it up, since it could never run. Its input is
    /// not stored.
    fn fail_without_function(&self, task: &mut Task) {
        task.input_bytes = 0;
        task.state = TaskState::Queued { not_before: self.now };
        let (worker, token) = (WorkerId::from_bytes([0; 16]), LeaseToken([0; 16]));
        let lease =
            Lease { worker, dispatcher: None, token, started_at: self.now, expires_at: self.now, renewed: false };
        let failure =
            Failure::new(ErrorCode::FunctionNotFound, "the function was deleted before the task was accepted");
        if let Ok(attempt) = task.lease(lease) {
            let receipt = Receipt { attempt, ..Receipt::default() };
            // Never refused: the lease was just made.
            let _ = task.end(Fence { attempt, token }, Some(failure), receipt, self.now);
        }
    }
}
