//! The one thread that writes. It takes as many waiting steps as fit into a group, performs them one after the other,
//! commits them with one flush of the disk, and only then answers each. Knows no step's content.

use std::{sync::Arc, thread};

use tokio::sync::{mpsc, oneshot};

use super::{Options, engine::Engine, group::Group, hints::Hints, queue::Starts, steps::Steps};
use crate::{
    clock::Clock,
    store::{Error, Result},
};

/// Steps that may wait; with more, callers wait to hand theirs in.
const WAITING_MAX: usize = 1_024;
/// Steps of a group.
const GROUP_MAX: usize = 512;
/// Bytes handed in with the steps of a group: bounds memory and the time of a flush. One step may have more.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Told whether the group was committed.
type Answer = Box<dyn FnOnce(&Result<()>) + Send>;

/// Performs a step.
type Perform = Box<dyn FnOnce(&mut Steps<'_>, &Clock) -> Answer + Send>;

struct Job {
    bytes: usize,
    perform: Perform,
}

/// See the module's documentation. Dropping it ends the thread once every step handed in is answered.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(engine: Arc<Engine>, hints: Arc<Hints>, options: Options, clock: Clock) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let body = move || run(waiting, &engine, &hints, options, &clock);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(body);
        let thread = thread.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs a step that hands in about this many bytes; answers when it is durable.
    pub(super) async fn step<T: Send + 'static>(
        &self,
        bytes: usize,
        step: impl FnOnce(&mut Steps<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let perform = move |steps: &mut Steps<'_>, clock: &Clock| -> Answer {
            let result = steps.perform(clock.now(), step);
            Box::new(move |committed| {
                let answer = match committed {
                    Ok(()) => result,
                    Err(error) => result.and(Err(Error::Unavailable(error.to_string()))),
                };
                // Whoever asked may have gone away.
                drop(tell.send(answer));
            })
        };
        let stopped = || Error::Unavailable("the store has stopped".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(Job { bytes, perform: Box::new(perform) }).await.map_err(|_| stopped())?;
        told.await.map_err(|_| stopped())?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread panicked");
        }
    }
}

fn run(mut waiting: mpsc::Receiver<Job>, engine: &Engine, hints: &Hints, options: Options, clock: &Clock) {
    let mut starts = Starts::default();
    while let Some(first) = waiting.blocking_recv() {
        let mut steps = Steps::new(Group::new(engine), &mut starts, options);
        let mut answers = Vec::new();
        let (mut job, mut bytes) = (Some(first), 0);
        while let Some(Job { bytes: more, perform }) = job {
            answers.push(perform(&mut steps, clock));
            bytes += more;
            job = match answers.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
                true => waiting.try_recv().ok(),
                false => None,
            };
        }
        let committed = match steps.commit() {
            Ok(events) => {
                hints.tell(&events);
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, steps = answers.len(), "a group of steps could not be written");
                Err(error)
            }
        };
        for answer in answers {
            answer(&committed);
        }
    }
}
