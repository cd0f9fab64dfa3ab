//! Answers of HTTP/2, in pieces. The library takes a body's next bytes only when the client has room for the last ones,
//! so a client that takes nothing is seen by what is not asked for, and no more than a piece is held beside the body.

use std::{
    cell::Cell,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// The most of a body that is given away at once: a frame of HTTP/2, unless its client allows larger ones.
pub(super) const PIECE_BYTES: usize = 16 << 10;

tokio::task_local! {
    /// How far the answer of this task's request was taken.
    static PROGRESS: Progress;
}

/// See [`PROGRESS`].
#[derive(Default)]
struct Progress {
    /// Pieces that were given away.
    pieces: Cell<u64>,
    /// The last piece that was given away is not followed by a question for the next yet.
    is_given: Cell<bool>,
}

impl Progress {
    /// Notes that the next bytes were asked for, and whether there were some.
    fn note(is_given: bool) {
        // Outside of a request's task, nobody looks.
        let _ = PROGRESS.try_with(|progress| {
            progress.pieces.set(progress.pieces.get() + u64::from(is_given));
            progress.is_given.set(is_given);
        });
    }
}

/// See the module's documentation.
pub(super) struct Pieces {
    body: Body,
    /// Of bytes that the body has given, those that were not given on.
    rest: Bytes,
}

impl Pieces {
    pub(super) fn new(body: Body) -> Self {
        Self { body, rest: Bytes::new() }
    }
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            Progress::note(false);
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => self.rest = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                end => return Poll::Ready(end),
            }
        }
        Progress::note(true);
        let length = self.rest.len().min(PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, mut hint) = (self.rest.len() as u64, self.body.size_hint());
        let upper = hint.upper();
        hint.set_lower(hint.lower() + rest);
        if let Some(upper) = upper {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// Runs a request's task until it has ended, or its client has taken nothing of the answer for as long as it may.
pub(super) async fn taken(task: impl Future<Output = ()>, stall: Duration) {
    PROGRESS.scope(Progress::default(), Watch { task: Box::pin(task), stall, stuck: None }).await;
}

/// The task itself and, while the client has no room, a timer.
struct Watch<F> {
    task: Pin<Box<F>>,
    stall: Duration,
    stuck: Option<(u64, Pin<Box<Sleep>>)>,
}

impl<F: Future<Output = ()>> Future for Watch<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.task.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let (pieces, is_given) = PROGRESS.with(|progress| (progress.pieces.get(), progress.is_given.get()));
        if !is_given {
            self.stuck = None;
            return Poll::Pending;
        }
        let due = Instant::now() + self.stall;
        let (at, sleep) = self.stuck.get_or_insert_with(|| (pieces, Box::pin(tokio::time::sleep_until(due))));
        if *at != pieces {
            *at = pieces;
            sleep.as_mut().reset(due);
        }
        // Its end resets the stream, and what is left of the answer is dropped.
        sleep.as_mut().poll(context)
    }
}
