//! Stream of a connection, between the socket and hyper. It records what the connection's time-outs depend on, fails
//! when the peer reads nothing, and hides the client's half-close from hyper while a response is owed.
//! tokio-io-timeout would do the second alone, pinned, and without a sign that a write is stuck.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::{bounds::Bounds, pace::Pace};

/// First bytes of an HTTP/2 connection (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Time without a byte of the response after which a client that has closed its half is taken to have left: both look the
/// same, and a run that nobody waits for holds a slot.
const PARTING: Duration = Duration::from_secs(1);

/// Stream that enforces a connection's bounds.
pub(super) struct Line<S> {
    stream: S,
    pace: Arc<Pace>,
    /// Time without progress after which a write fails.
    stall: Duration,
    /// Runs while a write is blocked.
    waiting: Option<Pin<Box<Sleep>>>,
    /// Runs from the client's half-close, and anew from each byte of the owed response.
    parting: Option<Pin<Box<Sleep>>>,
    /// Bytes that were read and are to be read again.
    again: Bytes,
    /// Start of a connection that may become the preface of HTTP/2; `None` once that is decided.
    opening: Option<BytesMut>,
}

impl<S> Line<S> {
    pub(super) fn new(stream: S, pace: Arc<Pace>, stall: Duration) -> Self {
        let opening = Some(BytesMut::new());
        Self { stream, pace, stall, waiting: None, parting: None, again: Bytes::new(), opening }
    }

    /// Creates the line of a connection that is known to use HTTP/2.
    pub(super) fn of_streams(stream: S, bounds: Bounds) -> Self {
        Self::new(stream, Pace::new(bounds), bounds.stall).rewound(Bytes::new())
    }

    /// Prepares the stream for HTTP/2, with bytes to be read first. In HTTP/2, a half-close ends the connection.
    pub(super) fn rewound(mut self, again: Bytes) -> Self {
        self.pace.retire();
        self.opening = None;
        self.again = again;
        self
    }

    /// Returns true if bytes wait for the peer, so that others would arrive out of order.
    pub(super) const fn is_stuck(&self) -> bool {
        self.waiting.is_some()
    }

    /// Grants a client that has closed its half more time if it took bytes.
    fn go_on(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Some(parting), Poll::Ready(Ok(1..))) = (&mut self.parting, written) {
            parting.as_mut().reset(Instant::now() + PARTING);
        }
    }

    /// Returns the stream's answer, or an error once it has been pending for too long.
    fn judge<T>(&mut self, context: &mut Context<'_>, answer: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if answer.is_ready() {
            self.waiting = None;
            return answer;
        }
        let patience = self.stall;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Line<S> {
    /// Reads until it is decided whether the connection starts with the preface of HTTP/2. A preface in pieces is
    /// passed on whole, since the HTTP/1 parser rejects its first half.
    fn poll_opening(&mut self, mut opening: BytesMut, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut piece = [0; PREFACE.len()];
            let mut buffer = ReadBuf::new(piece.get_mut(opening.len()..).unwrap_or_default());
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    self.opening = Some(opening);
                    return Poll::Pending;
                }
            }
            let is_end = buffer.filled().is_empty();
            opening.extend_from_slice(buffer.filled());
            self.pace.hear();
            if is_end || opening.len() >= PREFACE.len() || !PREFACE.starts_with(&opening) {
                self.again = opening.freeze();
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Handles the client's half-close. The client may still read, as `nc -N` and old health checkers do, so a complete
    /// request is served, if its response comes soon and goes on.
    fn poll_parting(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.pace.owes_an_answer() {
            return Poll::Ready(Ok(()));
        }
        let parting = self.parting.get_or_insert_with(|| Box::pin(sleep(PARTING)));
        parting.as_mut().poll(context).map(Ok)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let line = &mut *self;
        if let Some(opening) = line.opening.take_if(|opening| !opening.is_empty()) {
            ready!(line.poll_opening(opening, context))?;
        }
        if !line.again.is_empty() {
            let length = line.again.len().min(buffer.remaining());
            buffer.put_slice(line.again.get(..length).unwrap_or_default());
            line.again.advance(length);
            return Poll::Ready(Ok(()));
        }
        if line.parting.is_some() {
            return line.poll_parting(context);
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut line.stream).poll_read(context, buffer))?;
        let heard = buffer.filled().get(before..).unwrap_or_default();
        if heard.is_empty() {
            return line.poll_parting(context);
        }
        line.pace.hear();
        if line.opening.take().is_some() && heard.len() < PREFACE.len() && PREFACE.starts_with(heard) {
            line.opening = Some(BytesMut::from(heard));
            buffer.set_filled(before);
            return self.poll_read(context, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.go_on(&written);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.go_on(&written);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, ended)
    }
}
