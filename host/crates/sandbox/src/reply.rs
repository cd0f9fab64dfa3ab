//! Response of a run as it is written. It is held until it fills a piece or a tick has passed, so that a small one stays
//! whole, and a guest that writes single bytes costs its host no more than a hundred pieces a second.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use fusebox_core::{
    http::{Header, MessageError, Response},
    limits::RESPONSE_PIECE_BYTES,
    outcome::StopReason,
};
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

use crate::{
    ending::Ending,
    epoch::TICK,
    exchange::{CLIENT_STALL, Exchange, Piece},
};

/// End of a run whose client is gone or takes nothing.
const GONE: Ending = Ending::Stopped(StopReason::Cancelled);

/// Response that is being written.
pub(crate) struct Reply {
    /// Exchange with the client; `None` if the response is kept whole.
    exchange: Option<Exchange>,
    /// Head that was not passed on; its trailers are the names of those announced.
    head: Option<Box<Response>>,
    held: BytesMut,
    /// Time since which something is held, or at which the last piece was passed on.
    since: Instant,
    /// Bytes of the body so far.
    bytes: u64,
    bytes_max: u64,
    /// Length that the head of a response in pieces states.
    stated: Option<u64>,
}

impl Reply {
    /// Starts a response with its head.
    ///
    /// # Errors
    /// Ends the run if the head cannot be sent.
    pub(crate) fn new(exchange: Option<Exchange>, head: Response, bytes_max: u64) -> Result<Self, Ending> {
        head.check().map_err(unsendable)?;
        let stated = exchange.as_ref().and_then(|_| head.header("content-length"));
        let stated = stated.map(|length| str::from_utf8(length).ok().and_then(|length| length.parse().ok()));
        let stated = stated.map(|length| length.ok_or_else(wrong_length)).transpose()?;
        let (head, held, since) = (Some(Box::new(head)), BytesMut::new(), Instant::now());
        Ok(Self { exchange, head, held, since, bytes: 0, bytes_max, stated })
    }

    /// Adds bytes to the body.
    ///
    /// # Errors
    /// Ends the run if the body is longer than it may be, or a part of it was passed on and it is longer than its head
    /// states.
    pub(crate) fn add(&mut self, bytes: &[u8]) -> Result<(), Ending> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Ending::OutputTooLarge { bytes: self.bytes });
        }
        if self.head.is_none() && self.stated.is_some_and(|stated| self.bytes > stated) {
            return Err(wrong_length());
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }

    /// Returns true if what is held fills a piece, which is then passed on.
    pub(crate) fn is_full(&self) -> bool {
        self.exchange.is_some() && self.held.len() >= RESPONSE_PIECE_BYTES
    }

    /// Returns the time at which what is held is to be passed on, full or not; `None` if there is nothing, or the response
    /// is kept whole.
    pub(crate) fn due(&self) -> Option<Instant> {
        let is_held = self.exchange.is_some() && (self.head.is_some() || !self.held.is_empty());
        is_held.then(|| self.since + TICK)
    }

    /// Passes on what is held, once the client has taken the piece before.
    ///
    /// # Errors
    /// Ends the run if the client is gone or takes nothing.
    pub(crate) async fn pass(&mut self) -> Result<(), Ending> {
        if let Some(exchange) = self.exchange.clone().filter(|_| self.due().is_some()) {
            reserved(&exchange).await?.send(self.piece(&exchange));
        }
        Ok(())
    }

    /// Passes on what is held unless that has to wait.
    ///
    /// # Errors
    /// Ends the run if the client is gone.
    pub(crate) fn try_pass(&mut self) -> Result<(), Ending> {
        if let Some(exchange) = self.exchange.clone().filter(|_| self.due().is_some()) {
            match exchange.pieces().try_reserve() {
                Ok(permit) => permit.send(self.piece(&exchange)),
                Err(TrySendError::Full(())) => {}
                Err(TrySendError::Closed(())) => return Err(GONE),
            }
        }
        Ok(())
    }

    /// Ends the response. Returns it if nothing of it was passed on.
    ///
    /// # Errors
    /// Ends the run if the client is gone, the body is shorter than its head states, or the trailers cannot be sent.
    pub(crate) async fn end(mut self, trailers: Vec<Header>) -> Result<Option<Response>, Ending> {
        if let Some(head) = self.head.take() {
            return Ok(Some(Response { body: self.held.freeze(), trailers, ..*head }));
        }
        if self.stated.is_some_and(|stated| self.bytes != stated) {
            return Err(wrong_length());
        }
        let trailers = Response::of_trailers(trailers);
        trailers.check().map_err(unsendable)?;
        self.pass().await?;
        if let Some(exchange) = self.exchange.filter(|_| !trailers.trailers.is_empty()) {
            reserved(&exchange).await?.send(Piece::Trailers(trailers.trailers));
        }
        Ok(None)
    }

    /// Takes what is held.
    fn piece(&mut self, exchange: &Exchange) -> Piece {
        self.since = Instant::now();
        let data = self.held.split().freeze();
        let piece = match self.head.take() {
            Some(head) => Piece::Head(Box::new(Response { body: data, ..*head })),
            None => Piece::Data(data),
        };
        exchange.record(&piece);
        piece
    }
}

/// Waits for the client to take the last piece.
async fn reserved(exchange: &Exchange) -> Result<mpsc::Permit<'_, Piece>, Ending> {
    let reserved = timeout(CLIENT_STALL, exchange.pieces().reserve()).await;
    reserved.ok().and_then(Result::ok).ok_or(GONE)
}

fn unsendable(fault: MessageError) -> Ending {
    Ending::Failed(format!("the response cannot be sent: {fault}").into())
}

fn wrong_length() -> Ending {
    let reason = "the response's Content-Length is not the length of its body: leave the header out";
    Ending::Failed(Bytes::from_static(reason.as_bytes()))
}
