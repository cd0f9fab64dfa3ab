//! The single writer thread. It takes as many waiting steps as fit into a group, performs them in order, commits them
//! with one flush of the disk, and only then answers each. Independent of the steps' content.

use std::{sync::Arc, thread, time::Instant};

use fusebox_core::time::Millis;
use tokio::sync::{mpsc, oneshot};

use super::{compaction::Compaction, engine::Engine, group::Group, starts::Starts, steps::Steps};
use crate::{Error, Options, Result, hints::Hints};
use fusebox_system::clock::Clock;

/// Largest number of waiting steps; beyond it, callers wait for room.
const WAITING_MAX: usize = 1_024;
/// Largest number of steps in a group.
const GROUP_MAX: usize = 512;
/// Size of a group's writes at which no further step is added, in bytes. Bounds memory, the engine's list of changed
/// pages, and the time of a flush.
const GROUP_BYTES_MAX: usize = 8 << 20;

/// Answers a caller once its group was committed or could not be.
type Reply = Box<dyn FnOnce(&Result<()>) + Send>;

/// Performs a step, or nothing if the group cannot be committed anyway.
type Perform = Box<dyn FnOnce(Option<&mut Steps<'_>>, &Clock) -> Reply + Send>;

struct Job {
    bytes: usize,
    perform: Perform,
}

/// Handle to the writer thread. Dropping it ends the thread once every submitted step is answered.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        engine: Arc<Engine>,
        hints: Arc<Hints>,
        options: Options,
        clock: Clock,
        written_at: Millis,
    ) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let body = move || run(waiting, &engine, &hints, options, &clock, written_at);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(body);
        let thread = thread.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs a step that writes about `bytes` bytes; returns when it is durable.
    pub(super) async fn step<T: Send + 'static>(
        &self,
        bytes: usize,
        step: impl FnOnce(&mut Steps<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let perform = move |steps: Option<&mut Steps<'_>>, clock: &Clock| -> Reply {
            let result = steps.map(|steps| steps.perform(clock.now(), step));
            Box::new(move |committed| {
                let answer = match (committed, result) {
                    (Ok(()), Some(result)) => result,
                    (Ok(()), None) => Err(Error::Unavailable("the step was not performed".to_owned())),
                    (Err(Error::Unavailable(reason)), _) => Err(Error::Unavailable(reason.clone())),
                    (Err(error), _) => Err(Error::Unavailable(error.to_string())),
                };
                // The caller may have gone away.
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

fn run(
    mut waiting: mpsc::Receiver<Job>,
    engine: &Arc<Engine>,
    hints: &Hints,
    options: Options,
    clock: &Clock,
    mut written_at: Millis,
) {
    let mut starts = Starts::default();
    let mut compaction = Compaction::new(engine, Instant::now());
    while let Some(first) = waiting.blocking_recv() {
        let mut answers = Vec::new();
        let group = engine.reopen(Instant::now()).and_then(|()| Group::new(engine));
        let committed = match group {
            Ok(group) => {
                let mut steps = Steps::new(group, &mut starts, &mut written_at, options);
                perform(first, &mut waiting, &mut answers, |job| (job.perform)(Some(&mut steps), clock));
                steps.commit()
            }
            Err(error) => {
                perform(first, &mut waiting, &mut answers, |job| (job.perform)(None, clock));
                Err(error)
            }
        };
        let committed = committed.map(|events| hints.tell(&events));
        if let Err(error) = &committed {
            tracing::error!(%error, steps = answers.len(), "a group of steps could not be written");
        }
        answers.into_iter().for_each(|answer| answer(&committed));
        if let Err(error) = compaction.advance(engine, Instant::now()) {
            tracing::error!(%error, "disk space could not be given back");
        }
    }
}

/// Performs the first job and those that wait behind it or arrive meanwhile, as far as they fit into a group.
fn perform(
    first: Job,
    waiting: &mut mpsc::Receiver<Job>,
    answers: &mut Vec<Reply>,
    mut perform: impl FnMut(Job) -> Reply,
) {
    let (mut job, mut bytes) = (Some(first), 0);
    while let Some(next) = job {
        bytes += next.bytes;
        answers.push(perform(next));
        job = match answers.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
            true => waiting.try_recv().ok(),
            false => None,
        };
    }
}
