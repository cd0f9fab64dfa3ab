//! Responses that are passed on as their functions write them. The run ends with its response: a client that leaves, or
//! reads nothing for too long, drops the tail, and with it the run.

use std::{
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use fusebox_core::{
    http::{Header, Response},
    id::FunctionId,
    outcome::Ended,
};
use fusebox_sandbox::{Piece, Pieces};
use hyper::body::{Body, Frame};

use super::response::{fault, mapped, remove_ours};
use crate::rest::{
    error::Problem,
    invoke::{RECEIPT, receipt_header},
};

/// Run that goes on as long as it is polled.
pub(super) type Running = Pin<Box<dyn Future<Output = Result<Ended, Problem>> + Send>>;

/// Things that are there first.
pub(super) enum First {
    /// The end of the run, and the response if it passed it on.
    Whole(Ended, Option<Response>),
    /// The head of the response, and the rest of it.
    Part(Response, Tail),
}

/// Waits for the end of a run, or for the first piece of its response.
///
/// # Errors
/// Fails if there was no run, or its result was lost.
pub(super) async fn first(
    function: FunctionId,
    mut running: Running,
    pieces: Option<Pieces>,
    is_head: bool,
) -> Result<First, Problem> {
    let Some(mut pieces) = pieces else { return running.await.map(|ended| First::Whole(ended, None)) };
    let mut head = tokio::select! {
        biased;
        ended = &mut running => {
            let head = pieces.try_recv().ok().and_then(head_of);
            return Ok(First::Whole(ended?, head));
        }
        Some(head) = async { pieces.recv().await.and_then(head_of) } => head,
    };
    // A response without a body ends with its run, except to HEAD, whose client has all that it asked for.
    if matches!(head.status, 204 | 304) && !is_head {
        pieces.close();
        return running.await.map(|ended| First::Whole(ended, Some(head)));
    }
    let start = mem::take(&mut head.body);
    let tail = Tail { start, pieces, trailers: Vec::new(), running: Some(running), ended: None, function };
    Ok(First::Part(head, tail))
}

fn head_of(piece: Piece) -> Option<Response> {
    match piece {
        Piece::Head(head) => Some(*head),
        Piece::Data(_) | Piece::Trailers(_) => None,
    }
}

/// Rest of a response.
pub(super) struct Tail {
    start: Bytes,
    pieces: Pieces,
    trailers: Vec<Header>,
    /// The run, until its end.
    running: Option<Running>,
    ended: Option<Result<Ended, Problem>>,
    function: FunctionId,
}

/// Cuts the connection, so that nobody takes a part of a response for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the function failed after the head of its response was sent")]
pub(super) struct Cut;

impl Tail {
    /// Returns the next bytes of the body that are there.
    fn next(&mut self, context: &mut Context<'_>) -> Option<Bytes> {
        loop {
            let piece = match &self.running {
                Some(_) => match self.pieces.poll_recv(context) {
                    Poll::Ready(piece) => piece?,
                    Poll::Pending => return None,
                },
                None => self.pieces.try_recv().ok()?,
            };
            match piece {
                Piece::Data(data) => return Some(data),
                Piece::Trailers(trailers) => self.trailers = trailers,
                // Only the first piece has it.
                Piece::Head(_) => {}
            }
        }
    }

    /// Returns the last frame: the trailers, of which one is the receipt.
    fn last(&mut self) -> Option<Result<Frame<Bytes>, Cut>> {
        let (code, reason) = match self.ended.take()? {
            Ok(Ended { failure: Some(failure), output, .. }) if fault(&failure, &output).is_none() => {
                (failure.code, failure.message)
            }
            Ok(Ended { receipt, .. }) => {
                let mut trailers = mapped(mem::take(&mut self.trailers)).unwrap_or_default();
                remove_ours(&mut trailers);
                trailers.insert(RECEIPT, receipt_header(&receipt));
                return Some(Ok(Frame::trailers(trailers)));
            }
            Err(problem) => (problem.code(), "the run was lost".to_owned()),
        };
        tracing::warn!(function = %self.function, code = code.as_str(), reason, "{Cut}");
        Some(Err(Cut))
    }
}

impl Body for Tail {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if !self.start.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.start)))));
        }
        if let Some(data) = self.next(context) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(running) = &mut self.running {
            let ended = ready!(running.as_mut().poll(context));
            self.running = None;
            self.ended = Some(ended);
            if let Some(data) = self.next(context) {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        Poll::Ready(self.last())
    }
}
