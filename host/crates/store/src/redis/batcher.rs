//! Batches the tasks that many callers submit one by one: tasks that arrive while a call is in flight wait and go
//! together in the next one. This greatly reduces the work of Redis per task.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{accept, caller::Caller, counted::Counted};
use crate::{Accepted, Error, NewTask, Result};

/// Largest number of tasks in one call, and of tasks waiting for the next; beyond it, callers wait for room.
const TASKS_MAX: usize = 500;

type Waiting = (NewTask, oneshot::Sender<Result<Accepted>>);

/// Handle to the batching task. Dropping it stops the batching.
pub(super) struct Batcher {
    waiting: mpsc::Sender<Waiting>,
    task: JoinHandle<()>,
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Batcher {
    pub(super) fn start(caller: Arc<Caller>, counted: Arc<Counted>) -> Self {
        let (waiting, tasks) = mpsc::channel(TASKS_MAX);
        Self { waiting, task: tokio::spawn(run(caller, counted, tasks)) }
    }

    /// Accepts a task, in one call with those of other callers.
    pub(super) async fn accept(&self, task: NewTask) -> Result<Accepted> {
        let gone = || Error::Unavailable("the connection to Redis has ended".to_owned());
        let (answer, answered) = oneshot::channel();
        self.waiting.send((task, answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn run(caller: Arc<Caller>, counted: Arc<Counted>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::new();
    while waiting.recv_many(&mut batch, TASKS_MAX).await > 0 {
        let (tasks, callers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        // A caller that has gone away needs no answer.
        match accept::accept(&caller, &counted, &tasks).await {
            Ok(answers) => callers.into_iter().zip(answers).for_each(|(caller, answer)| drop(caller.send(answer))),
            Err(error) => callers.into_iter().for_each(|caller| drop(caller.send(Err(error.clone())))),
        }
    }
}
