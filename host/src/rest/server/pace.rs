//! Time-outs of one HTTP/1 connection: how long its client may be silent between requests, and how long the head of a
//! request may take. hyper has one time-out for both and asks its timer; this is that timer, which also knows the bytes
//! received since.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::bounds::Bounds;

/// State of the time-outs. Only the connection's own task uses it: the atomics and the lock are never contended.
pub(super) struct Pace {
    bounds: Bounds,
    /// True if bytes have arrived since the last wait for a head began.
    heard: AtomicBool,
    /// True if a head was read completely before.
    has_asked: AtomicBool,
    /// True while a head is awaited.
    waits: AtomicBool,
    /// True until the body of the current request is read completely.
    is_body_open: AtomicBool,
    /// True if the body of the last request was abandoned.
    is_body_left: AtomicBool,
    /// One timer for all waits of a connection, so that a request adds no entry to the runtime's timers.
    sleep: Mutex<Option<Pin<Box<tokio::time::Sleep>>>>,
}

impl Pace {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            heard: AtomicBool::new(false),
            has_asked: AtomicBool::new(false),
            waits: AtomicBool::new(false),
            is_body_open: AtomicBool::new(false),
            is_body_left: AtomicBool::new(false),
            sleep: Mutex::new(None),
        })
    }

    /// Records that bytes have arrived.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Records the start of a request, and whether it has a body.
    pub(super) fn begin(&self, has_body: bool) {
        self.is_body_open.store(has_body, Ordering::Relaxed);
        self.is_body_left.store(false, Ordering::Relaxed);
    }

    /// Records the end of a body: complete, or abandoned.
    pub(super) fn end_body(&self, is_whole: bool) {
        self.is_body_open.store(false, Ordering::Relaxed);
        self.is_body_left.store(!is_whole, Ordering::Relaxed);
    }

    /// Stops the timing: no response is owed from now on.
    pub(super) fn retire(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Returns true if a request was read completely and is not answered.
    pub(super) fn owes_an_answer(&self) -> bool {
        !self.waits() && !self.is_body_open()
    }

    /// Returns true while a head is awaited.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Returns true until the body of the current request is read completely.
    pub(super) fn is_body_open(&self) -> bool {
        self.is_body_open.load(Ordering::Relaxed)
    }

    /// Returns true if the client may still be sending the body of the last request.
    pub(super) fn is_body_left(&self) -> bool {
        self.is_body_left.load(Ordering::Relaxed)
    }

    /// Sleeps until the deadline. A timer set to an earlier time is left alone until that has passed.
    fn poll_until(&self, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
        let mut sleep = self.sleep.lock().unwrap_or_else(PoisonError::into_inner);
        let due = tokio::time::Instant::from_std(deadline);
        let sleep = sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if sleep.deadline() > due {
            sleep.as_mut().reset(due);
        }
        while sleep.as_mut().poll(context).is_ready() {
            if sleep.deadline() >= due {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(due);
        }
        Poll::Pending
    }
}

/// Timer for hyper.
pub(super) struct Pacer(pub(super) Arc<Pace>);

impl hyper::rt::Timer for Pacer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    /// Starts the wait for a head; hyper passes the idle time-out as the deadline.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let pace = self.0.clone();
        pace.heard.store(false, Ordering::Relaxed);
        pace.waits.store(true, Ordering::Relaxed);
        // A client that has not sent a request yet is not given the idle time-out.
        let is_first = !pace.has_asked.load(Ordering::Relaxed);
        let deadline = if is_first { Instant::now() + pace.bounds.headers } else { deadline };
        Box::pin(Head { pace, deadline, has_begun: is_first })
    }
}

/// Wait for a head; dropped when the head is complete.
struct Head {
    pace: Arc<Pace>,
    deadline: Instant,
    has_begun: bool,
}

impl hyper::rt::Sleep for Head {}

impl Future for Head {
    type Output = ();

    /// Polled after each piece that does not complete the head.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !self.has_begun && self.pace.heard.load(Ordering::Relaxed) {
            self.has_begun = true;
            self.deadline = Instant::now() + self.pace.bounds.headers;
        }
        self.pace.poll_until(self.deadline, context)
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.pace.has_asked.store(true, Ordering::Relaxed);
        self.pace.waits.store(false, Ordering::Relaxed);
    }
}
