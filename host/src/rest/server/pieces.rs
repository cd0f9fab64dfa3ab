//! HTTP/2 responses in pieces. hyper requests the next bytes of a body only when the client has room, so a stalled
//! client shows in the absence of requests, and at most one piece is buffered beside the body.

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

/// Size of a piece: a frame of HTTP/2, unless the client allows larger ones.
pub(super) const PIECE_BYTES: usize = 16 << 10;

tokio::task_local! {
    /// Progress of the response of this task's request.
    static PROGRESS: Progress;
}

/// See [`PROGRESS`].
#[derive(Default)]
struct Progress {
    /// Number of pieces taken.
    pieces: Cell<u64>,
    /// True if the last piece has not been followed by a request for the next.
    is_given: Cell<bool>,
}

impl Progress {
    /// Records a request for the next bytes, and whether there were any.
    fn note(is_given: bool) {
        // Outside of a request's task, nothing reads the progress.
        let _ = PROGRESS.try_with(|progress| {
            progress.pieces.set(progress.pieces.get() + u64::from(is_given));
            progress.is_given.set(is_given);
        });
    }
}

/// Body split into pieces.
pub(super) struct Pieces {
    body: Body,
    /// Bytes received from the body and not yet passed on.
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

/// Runs a request's task until it ends, or until the client has read nothing of the response for `stall`.
pub(super) async fn taken(task: impl Future<Output = ()>, stall: Duration) {
    PROGRESS.scope(Progress::default(), Watch { task: Box::pin(task), stall, stuck: None }).await;
}

/// Task of a request with a timer that runs while the client has no room.
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
        // Ending the task resets the stream and drops the rest of the response.
        sleep.as_mut().poll(context)
    }
}
