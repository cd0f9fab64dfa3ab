//! Stdin and stdout of a command that answers an HTTP request of a client that is there: the request's body as it
//! arrives, and the response as it is written, once its head is complete.

use bytes::{Bytes, BytesMut};
use fusebox_core::{http::cgi, limits::RESPONSE_PIECE_BYTES};
use http_body_util::BodyExt as _;

use crate::{
    component::slot,
    ending::Ending,
    exchange::{BrokenBody, Exchange, RequestBody},
    host_calls::WaitLimit,
    reply::Reply,
};

/// Streams of a run with a client that is there.
pub(crate) struct Streams {
    exchange: Exchange,
    /// Limit of each wait for the client.
    limit: WaitLimit,
    /// Body of the request until its end.
    body: Option<RequestBody>,
    /// Response, from its first piece on.
    reply: Option<Reply>,
}

impl Streams {
    pub(crate) fn new(exchange: Exchange, limit: WaitLimit) -> Self {
        let body = exchange.take_body();
        Self { exchange, limit, body, reply: None }
    }

    /// Returns true until the end of the request's body.
    pub(super) fn awaits(&self) -> bool {
        self.body.is_some()
    }

    /// Waits for the next bytes of the request's body; returns none at its end.
    pub(super) fn read(&mut self) -> Result<Result<Bytes, BrokenBody>, Ending> {
        let Self { limit, body, .. } = self;
        let Some(arriving) = body else { return Ok(Ok(Bytes::new())) };
        let read = wait(limit, async {
            while let Some(frame) = arriving.frame().await {
                match frame.map(|frame| frame.into_data().unwrap_or_default()) {
                    Ok(data) if data.is_empty() => {}
                    read => return Ok(read),
                }
            }
            Ok(Ok(Bytes::new()))
        })?;
        if !matches!(&read, Ok(data) if !data.is_empty()) {
            *body = None;
        }
        Ok(read)
    }

    /// Takes bytes of stdout, which are in `start` until they fill a piece.
    pub(super) fn write(&mut self, start: &mut BytesMut, bytes: &[u8], bytes_max: u64) -> Result<(), Ending> {
        for bytes in bytes.chunks(RESPONSE_PIECE_BYTES) {
            let is_full = match &mut self.reply {
                Some(reply) => {
                    reply.add(bytes)?;
                    reply.is_full()
                }
                None => {
                    start.extend_from_slice(bytes);
                    start.len() >= RESPONSE_PIECE_BYTES
                }
            };
            if is_full {
                self.flush(start, bytes_max)?;
            }
        }
        Ok(())
    }

    /// Begins the response if its head is complete.
    fn begin(&mut self, start: &mut BytesMut, bytes_max: u64) -> Result<(), Ending> {
        let failed = |fault| Ending::Failed(format!("the function's output is not an HTTP response: {fault}").into());
        if self.reply.is_none() && cgi::has_head(start) {
            let mut head = cgi::response(&start.split().freeze()).map_err(failed)?;
            let body = std::mem::take(&mut head.body);
            let reply = self.reply.insert(Reply::new(Some(self.exchange.clone()), head, bytes_max)?);
            reply.add(&body)?;
        }
        Ok(())
    }

    /// Passes on what is held, unless that has to wait.
    pub(super) fn tick(&mut self, start: &mut BytesMut, bytes_max: u64) -> Result<(), Ending> {
        self.begin(start, bytes_max)?;
        self.reply.as_mut().map_or(Ok(()), Reply::try_pass)
    }

    /// Passes on what is held, before the guest waits for something else.
    pub(super) fn flush(&mut self, start: &mut BytesMut, bytes_max: u64) -> Result<(), Ending> {
        self.begin(start, bytes_max)?;
        self.reply.as_mut().map_or(Ok(()), |reply| wait(&self.limit, reply.pass()))
    }

    /// Ends a response that was begun.
    pub(super) fn end(&mut self) -> Result<(), Ending> {
        let Some(mut reply) = self.reply.take() else { return Ok(()) };
        wait(&self.limit, async {
            reply.pass().await?;
            reply.end(Vec::new()).await.map(drop)
        })
    }
}

/// Waits for the client, within the run's limits.
fn wait<T>(limit: &WaitLimit, work: impl Future<Output = Result<T, Ending>>) -> Result<T, Ending> {
    let bounded = slot::bounded(async { Ok(work.await) }, limit.until, &limit.stop);
    let done = slot::with(|runtime| runtime.block_on(bounded)).and_then(|done| done);
    done.unwrap_or_else(|error| Err(error.downcast().unwrap_or(Ending::BadModule("the slot has no runtime"))))
}
