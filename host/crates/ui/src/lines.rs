//! Non-blocking output to stderr and stdout. A server's lines go into a queue of `QUEUED_BYTES_MAX` bytes that a thread
//! writes out: if the reader stalls, the device is full or the pipe is closed, lines are dropped and counted, and the
//! work goes on. Interactive commands write synchronously, as their users expect.

use std::{
    fs::File,
    io::{self, Write},
    mem,
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// Capacity of one stream's queue in bytes: several seconds of a busy log.
const QUEUED_BYTES_MAX: usize = 1 << 20;
/// Longest time to write what is still queued at the end; a reader that reads takes it in a moment.
const LAST_WORDS: Duration = Duration::from_secs(1);

static STDERR: LazyLock<Lines> = LazyLock::new(|| Lines::to(io::stderr().as_fd().try_clone_to_owned().ok()));
static STDOUT: LazyLock<Lines> = LazyLock::new(|| Lines::to(io::stdout().as_fd().try_clone_to_owned().ok()));
/// True if lines are queued, as in servers.
static QUEUES: AtomicBool = AtomicBool::new(false);

/// Returns the stream to stderr: the log, and remarks.
pub fn stderr() -> &'static Lines {
    &STDERR
}

/// Returns the stream to stdout.
pub fn stdout() -> &'static Lines {
    &STDOUT
}

/// Queues lines from now on. They are written once [`start`] or [`flush`] has been called.
pub fn queue() {
    QUEUES.store(true, Ordering::Relaxed);
}

/// Starts the threads that write queued lines.
pub fn start() {
    if QUEUES.load(Ordering::Relaxed) {
        STDERR.start();
        STDOUT.start();
    }
}

/// Waits at most a second in all until the queued lines are written. Call it at the end of the process.
pub fn flush() {
    if QUEUES.load(Ordering::Relaxed) {
        start();
        let until = Instant::now() + LAST_WORDS;
        STDOUT.flush(until);
        STDERR.flush(until);
    }
}

/// Returns the number of dropped lines.
#[must_use]
pub fn lost() -> u64 {
    STDERR.lost.load(Ordering::Relaxed) + STDOUT.lost.load(Ordering::Relaxed)
}

/// One output stream.
pub struct Lines {
    queue: Mutex<Queue>,
    /// Notified when lines arrive, and when none are left.
    changed: Condvar,
    lost: AtomicU64,
    /// Duplicated descriptor, so that a blocked write holds no lock of the standard library's streams.
    to: Option<File>,
}

#[derive(Default)]
struct Queue {
    bytes: Vec<u8>,
    lines: u64,
    is_writing: bool,
    is_started: bool,
}

impl Lines {
    fn to(descriptor: Option<OwnedFd>) -> Self {
        Self {
            queue: Mutex::default(),
            changed: Condvar::new(),
            lost: AtomicU64::new(0),
            to: descriptor.map(File::from),
        }
    }

    /// Writes or queues a line. Never fails, and never blocks in a server.
    pub fn push(&self, line: &[u8]) {
        if !QUEUES.load(Ordering::Relaxed) {
            self.write(line);
            return;
        }
        if self.enqueue(line) {
            self.changed.notify_all();
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn enqueue(&self, line: &[u8]) -> bool {
        let mut queue = self.lock();
        let fits = queue.bytes.len() + line.len() <= QUEUED_BYTES_MAX;
        if fits {
            queue.bytes.extend_from_slice(line);
            queue.lines += 1;
        }
        fits
    }

    fn write(&self, bytes: &[u8]) -> bool {
        // An error has nowhere to be reported.
        self.to.as_ref().is_some_and(|mut to| to.write_all(bytes).is_ok())
    }

    fn start(&'static self) {
        let is_started = mem::replace(&mut self.lock().is_started, true);
        if !is_started && thread::Builder::new().name("lines".to_owned()).spawn(|| self.write_on()).is_err() {
            self.lock().is_started = false;
        }
    }

    /// Writes queued lines, all that there are at a time.
    fn write_on(&self) {
        let mut told = 0;
        loop {
            let (bytes, lines) = self.take();
            if !self.write(&bytes) {
                self.lost.fetch_add(lines, Ordering::Relaxed);
                continue;
            }
            let lost = self.lost.load(Ordering::Relaxed);
            if lost > told {
                tracing::warn!(lost, "output lines were dropped: their reader was too slow");
                told = lost;
            }
        }
    }

    /// Waits for lines and takes all of them.
    fn take(&self) -> (Vec<u8>, u64) {
        let mut queue = self.lock();
        queue.is_writing = false;
        self.changed.notify_all();
        while queue.lines == 0 {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.is_writing = true;
        (mem::take(&mut queue.bytes), mem::take(&mut queue.lines))
    }

    fn flush(&self, until: Instant) {
        let mut queue = self.lock();
        while queue.is_started && (queue.is_writing || queue.lines > 0) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            queue = self.changed.wait_timeout(queue, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // The queue is consistent wherever a holder could panic, so poisoning can be ignored.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writer for the log: each call of `write` is one line.
impl Write for &Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn where_nobody_reads_lines_are_lost_and_counted_and_nobody_waits() {
        let (mut reader, writer) = io::pipe().unwrap();
        let lines: &'static Lines = Box::leak(Box::new(Lines::to(Some(writer.into()))));
        lines.start();
        let line = [b'x'; 1 << 10];
        // More than the queue and a pipe together hold.
        let sent = 4 * QUEUED_BYTES_MAX / line.len();
        let kept = (0..sent).filter(|_| lines.enqueue(&line)).count();
        assert!(kept < sent, "the queue has a bound");
        lines.changed.notify_all();
        lines.flush(Instant::now());
        let mut read = vec![0; kept * line.len()];
        reader.read_exact(&mut read).unwrap();
        assert!(read.iter().all(|byte| *byte == b'x'), "what was kept is whole");
        lines.flush(Instant::now() + Duration::from_secs(30));
        assert_eq!(lines.lock().lines, 0);
    }

    #[test]
    fn a_reader_that_is_gone_costs_lines_alone() {
        let (reader, writer) = io::pipe().unwrap();
        let lines: &'static Lines = Box::leak(Box::new(Lines::to(Some(writer.into()))));
        drop(reader);
        lines.start();
        assert!(lines.enqueue(b"unheard\n"));
        lines.changed.notify_all();
        lines.flush(Instant::now() + Duration::from_secs(30));
        assert_eq!(lines.lost.load(Ordering::Relaxed), 1);
    }
}
