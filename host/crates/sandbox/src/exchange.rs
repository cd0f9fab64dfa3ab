//! HTTP exchange of a run with a client that is there: the request's body as it arrives, and the response as it is
//! written. Between them are bodies that wait to be polled and a channel of one piece, so each side waits for the other.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fusebox_core::http::{Header, Response};
use http_body_util::combinators::UnsyncBoxBody;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Body of a request, to be polled by the run.
pub type RequestBody = UnsyncBoxBody<Bytes, BrokenBody>;

/// Time without progress after which a client is taken to read no more: it holds a slot.
pub const CLIENT_STALL: Duration = Duration::from_secs(10);

/// Reason why a request's body ends early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum BrokenBody {
    /// It is longer than a body may be.
    #[error("the request's body is too large")]
    TooLarge,
    /// It stalled, or came too slowly.
    #[error("the request's body came too slowly")]
    TooSlow,
    /// The client ended it early, or it is malformed.
    #[error("the request's body is incomplete")]
    Incomplete,
}

/// Part of a response. A response that its run ends before it fills a piece, or before a tick, is not passed in pieces:
/// it is the run's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// First piece: head, start of the body, and as trailers the names of those that the function announced.
    Head(Box<Response>),
    /// More of the body.
    Data(Bytes),
    /// Trailers, which are the last piece.
    Trailers(Vec<Header>),
}

/// A run's end of an exchange. Cheap to clone.
#[derive(Clone)]
pub struct Exchange(Arc<Shared>);

struct Shared {
    body: Mutex<Option<RequestBody>>,
    pieces: mpsc::Sender<Piece>,
    /// Status of the response once its head was passed on, 0 before.
    status: AtomicU16,
    /// Bytes of the response's body that were passed on in pieces.
    passed: AtomicU64,
}

/// Client's end of an exchange. Its drop ends the run at its next piece.
pub type Pieces = mpsc::Receiver<Piece>;

impl Exchange {
    /// Returns both ends of an exchange. Without `body`, the request's body is part of the run's input.
    #[must_use]
    pub fn new(body: Option<RequestBody>) -> (Self, Pieces) {
        let (pieces, received) = mpsc::channel(1);
        let (status, passed) = (AtomicU16::new(0), AtomicU64::new(0));
        (Self(Arc::new(Shared { body: Mutex::new(body), pieces, status, passed })), received)
    }

    /// Returns the number of bytes of the response's body that were passed on in pieces; `None` if nothing was.
    #[must_use]
    pub fn passed(&self) -> Option<u64> {
        self.status().map(|_| self.0.passed.load(Ordering::Relaxed))
    }

    /// Returns the status of the response; `None` if its head was not passed on.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        Some(self.0.status.load(Ordering::Relaxed)).filter(|status| *status != 0)
    }

    /// Returns true if the request's body is not part of the input, and not taken.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Removes and returns the request's body.
    #[must_use]
    pub fn take_body(&self) -> Option<RequestBody> {
        self.0.body.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Returns the sender of the response's pieces.
    #[must_use]
    pub fn pieces(&self) -> &mpsc::Sender<Piece> {
        &self.0.pieces
    }

    /// Records a piece, which is passed on next.
    pub fn record(&self, piece: &Piece) {
        let bytes = match piece {
            Piece::Head(head) => {
                self.0.status.store(head.status, Ordering::Relaxed);
                head.body.len()
            }
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        self.0.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Exchange").field("passed", &self.passed()).finish_non_exhaustive()
    }
}
