//! The pace of one HTTP/1 connection: how long its client may be silent between requests and how long the head of a
//! request may take. hyper has one time for both and asks its timer when to give up; this is that timer, and knows
//! what has been heard since it was asked.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use super::Bounds;

/// See the module's documentation. Only the connection's own task uses it: the atomics and the lock are never contended.
pub(super) struct Pace {
    bounds: Bounds,
    /// Bytes came since the last wait for a head began.
    heard: AtomicBool,
    /// A head was read to its end before.
    has_asked: AtomicBool,
    /// A head is waited for.
    waits: AtomicBool,
    /// The body of the request under way was not read to its end yet.
    is_body_open: AtomicBool,
    /// The body of the last request was given up before its end.
    is_body_left: AtomicBool,
    /// One for all waits of a connection, so that a request costs no entry in the runtime's timers.
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

    /// Notes that bytes came.
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    /// Notes a request whose head was read, and whether its body is to come.
    pub(super) fn begin(&self, has_body: bool) {
        self.is_body_open.store(has_body, Ordering::Relaxed);
        self.is_body_left.store(false, Ordering::Relaxed);
    }

    /// Notes the end of a body: read whole, or given up.
    pub(super) fn end_body(&self, is_whole: bool) {
        self.is_body_open.store(false, Ordering::Relaxed);
        self.is_body_left.store(!is_whole, Ordering::Relaxed);
    }

    /// Ends its work: from now on no answer is owed.
    pub(super) fn retire(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// Returns whether a request was read whole and is not answered yet.
    pub(super) fn owes_an_answer(&self) -> bool {
        !self.waits() && !self.is_body_open()
    }

    /// Returns whether a head is waited for.
    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }

    /// Returns whether the body of the request under way is not read to its end yet.
    pub(super) fn is_body_open(&self) -> bool {
        self.is_body_open.load(Ordering::Relaxed)
    }

    /// Returns whether the client may still be sending the body of the last request.
    pub(super) fn is_body_left(&self) -> bool {
        self.is_body_left.load(Ordering::Relaxed)
    }

    /// How long an answer is awaited for a client that has said its last word.
    pub(super) const fn parting(&self) -> Duration {
        self.bounds.headers
    }

    /// Sleeps until then. A sleep that is set to an earlier time is left alone until that has come.
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

/// The timer that hyper asks.
pub(super) struct Pacer(pub(super) Arc<Pace>);

impl hyper::rt::Timer for Pacer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn hyper::rt::Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    /// Begins the wait for a head, until which hyper gives a connection the time of one that is idle.
    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn hyper::rt::Sleep>> {
        let pace = self.0.clone();
        pace.heard.store(false, Ordering::Relaxed);
        pace.waits.store(true, Ordering::Relaxed);
        // A stranger that has not asked anything yet is no client that is kept.
        let is_first = !pace.has_asked.load(Ordering::Relaxed);
        let deadline = if is_first { Instant::now() + pace.bounds.headers } else { deadline };
        Box::pin(Head { pace, deadline, has_begun: is_first })
    }
}

/// The wait for a head; dropped with its end.
struct Head {
    pace: Arc<Pace>,
    deadline: Instant,
    has_begun: bool,
}

impl hyper::rt::Sleep for Head {}

impl Future for Head {
    type Output = ();

    /// Asked after each piece that does not complete the head.
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
