//! The single writer thread. It takes as many waiting steps as fit into a group, performs them in order, commits them
//! with one flush of the disk, and only then answers each. Independent of the steps' content.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use fusebox_core::time::Millis;
use tokio::sync::{mpsc, oneshot};

use super::{compaction::Compaction, engine::Engine, group::Group, memory::Memory, steps::Steps};
use crate::{Error, Options, Result, hints::Hints};
use fusebox_system::clock::Clock;

/// Largest number of waiting steps; beyond it, callers wait for room.
const WAITING_MAX: usize = 1_024;
/// Largest number of steps in a group.
const GROUP_MAX: usize = 512;
/// Size of a group's writes at which no further step is added, in bytes. Bounds memory, the engine's list of changed
/// pages, and the time of a flush.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Shortest time between two log lines about a full disk, on which every group may fail.
const FULL_SAID: Duration = Duration::from_secs(60);

/// Step that a caller waits for.
trait Job: Send {
    /// Size of its writes; an estimate, in bytes.
    fn bytes(&self) -> usize;
    /// Performs the step and keeps its result. May be called again in a group that was begun again.
    fn perform(&mut self, steps: &mut Steps<'_>, now: Millis);
    /// Answers the caller, once the group was committed or could not be.
    fn answer(self: Box<Self>, committed: &Result<()>);
}

struct Call<T, F> {
    bytes: usize,
    step: F,
    result: Option<Result<T>>,
    tell: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut Steps<'_>) -> Result<T> + Send> Job for Call<T, F> {
    fn bytes(&self) -> usize {
        self.bytes
    }

    fn perform(&mut self, steps: &mut Steps<'_>, now: Millis) {
        self.result = Some(steps.perform(now, &mut self.step));
    }

    fn answer(self: Box<Self>, committed: &Result<()>) {
        let answer = match (committed, self.result) {
            (Ok(()), Some(result)) => result,
            (Ok(()), None) => Err(Error::Unavailable("the step was not performed".to_owned())),
            (Err(error @ (Error::Unavailable(_) | Error::Full(_))), _) => Err(error.clone()),
            (Err(error), _) => Err(Error::Unavailable(error.to_string())),
        };
        // The caller may have gone away.
        drop(self.tell.send(answer));
    }
}

/// Handle to the writer thread. Dropping it ends the thread once every submitted step is answered.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread.
    pub(super) fn start(
        engine: Arc<Engine>,
        memory: Memory,
        hints: Arc<Hints>,
        options: Options,
        clock: Clock,
    ) -> Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let body = move || run(waiting, &engine, memory, &hints, options, &clock);
        let thread = thread::Builder::new().name("store".to_owned()).spawn(body);
        let thread = thread.map_err(|error| Error::Unavailable(error.to_string()))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Performs a step that stores about `bytes` bytes more, as [`Self::step`] does.
    ///
    /// # Errors
    /// [`Error::Full`] if the disk has no room for it, and the errors of the step.
    pub(super) async fn grow<T: Send + 'static>(
        &self,
        bytes: usize,
        mut step: impl FnMut(&mut Steps<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let grown = move |steps: &mut Steps<'_>| {
            steps.grow(bytes as u64)?;
            step(steps)
        };
        self.step(bytes, grown).await
    }

    /// Performs a step that writes about `bytes` bytes; returns when it is durable. The step may be performed several
    /// times, but only once in what is committed.
    pub(super) async fn step<T: Send + 'static>(
        &self,
        bytes: usize,
        step: impl FnMut(&mut Steps<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (tell, told) = oneshot::channel();
        let stopped = || Error::Unavailable("the store has stopped".to_owned());
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        let call = Box::new(Call { bytes, step, result: None, tell });
        jobs.send(call).await.map_err(|_| stopped())?;
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
    mut waiting: mpsc::Receiver<Box<dyn Job>>,
    engine: &Arc<Engine>,
    mut memory: Memory,
    hints: &Hints,
    options: Options,
    clock: &Clock,
) {
    let (mut compaction, mut said) = (Compaction::new(engine, Instant::now()), None);
    while let Some(first) = waiting.blocking_recv() {
        let environment = engine.reopen(Instant::now()).and_then(|()| engine.writable());
        let (jobs, committed) = match environment {
            Ok(environment) => {
                let mut steps = Steps::new(Group::new(&environment), &mut memory, options);
                let jobs = perform(first, &mut waiting, &mut steps, clock);
                (jobs, steps.commit(engine))
            }
            Err(error) => (all(first, &mut waiting), Err(error)),
        };
        let committed = committed.map(|events| hints.tell(&events));
        if let Err(error) = &committed {
            if is_news(error, &mut said, Instant::now()) {
                tracing::error!(%error, steps = jobs.len(), "a group of steps could not be written");
            }
            // After a failed flush; fails as long as old reads go on.
            drop(engine.reopen(Instant::now()));
        }
        jobs.into_iter().for_each(|job| job.answer(&committed));
        if let Err(error) = compaction.advance(engine, Instant::now()) {
            tracing::error!(%error, "disk space could not be given back");
        }
    }
}

/// Returns true if the failure of a group is to be logged. `said` is the time of the last line about a full store.
fn is_news(error: &Error, said: &mut Option<Instant>, now: Instant) -> bool {
    if !matches!(error, Error::Full(_)) {
        return true;
    }
    let is_due = said.is_none_or(|said| now.saturating_duration_since(said) >= FULL_SAID);
    if is_due {
        *said = Some(now);
    }
    is_due
}

/// Performs the first job and those that wait behind it or arrive meanwhile, as far as they fit into a group.
///
/// A step that fails after it has written changes nothing: the steps before it are performed again without it, and the
/// group ends with it. So only damaged records have this price, and no step keeps what would undo it.
fn perform(
    first: Box<dyn Job>,
    waiting: &mut mpsc::Receiver<Box<dyn Job>>,
    steps: &mut Steps<'_>,
    clock: &Clock,
) -> Vec<Box<dyn Job>> {
    let (mut jobs, mut bytes, mut next) = (Vec::new(), 0, Some(first));
    while let Some(mut job) = next {
        bytes += job.bytes();
        job.perform(steps, clock.now());
        let is_over = steps.is_broken();
        if is_over {
            steps.restart();
            jobs.iter_mut().for_each(|job: &mut Box<dyn Job>| job.perform(steps, clock.now()));
        }
        jobs.push(job);
        next = match !is_over && jobs.len() < GROUP_MAX && bytes < GROUP_BYTES_MAX {
            true => waiting.try_recv().ok(),
            false => None,
        };
    }
    jobs
}

/// Returns the first job and those that wait behind it.
fn all(first: Box<dyn Job>, waiting: &mut mpsc::Receiver<Box<dyn Job>>) -> Vec<Box<dyn Job>> {
    std::iter::once(first).chain(std::iter::from_fn(|| waiting.try_recv().ok())).take(GROUP_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embedded::{engine::Space, open};

    #[test]
    fn a_full_disk_is_logged_once_a_minute_and_any_other_failure_each_time() {
        let (mut said, start) = (None, Instant::now());
        let (full, other) = (Error::Full("a disk".to_owned()), Error::Unavailable("a disk".to_owned()));
        assert!(is_news(&full, &mut said, start) && !is_news(&full, &mut said, start + FULL_SAID / 2));
        assert!(is_news(&other, &mut said, start) && is_news(&other, &mut said, start));
        assert!(is_news(&full, &mut said, start + FULL_SAID));
    }

    /// Waits behind steps that take long, so that the ones submitted meanwhile share a group.
    #[tokio::test]
    async fn a_step_that_fails_after_it_wrote_changes_nothing_and_the_others_are_kept() {
        let home = tempfile::tempdir().unwrap();
        let engine = Arc::new(open::engine(home.path(), crate::layout::LAYOUT).unwrap());
        let clock = Clock::manual(Millis(1));
        let memory = Memory::new(Millis(0), Arc::default());
        let writer = Writer::start(engine.clone(), memory, Hints::new(), Options::default(), clock).unwrap();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let put = |key: &'static str| {
            writer.step(0, move |steps| {
                steps.put(key);
                Ok(())
            })
        };
        let broken = writer.step::<()>(0, |steps| {
            steps.put("broken");
            Err(Error::Corrupt("a record".to_owned()))
        });
        let (_, first, broken, last, ()) = tokio::join!(
            writer.step(0, move |_| wait.lock().unwrap().recv().or(Ok(()))),
            put("first"),
            broken,
            put("last"),
            async move { go.send(()).unwrap() }
        );
        assert!(matches!(broken, Err(Error::Corrupt(_))));
        assert!(first.is_ok() && last.is_ok());
        let snapshot = engine.snapshot().unwrap();
        for (key, is_there) in [("first", true), ("broken", false), ("last", true)] {
            assert_eq!(snapshot.get(Space::Records, key.as_bytes()).unwrap().is_some(), is_there, "{key}");
        }
    }
}
