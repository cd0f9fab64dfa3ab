//! Event stream of a task: server-sent events, one for each state that the task enters.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use fusebox_api::{problem::Problem, tasks::TaskView};
use futures_util::{
    Stream, StreamExt as _,
    stream::{self, BoxStream},
};
use reqwest::{Response, StatusCode};
use serde::Deserialize;
use sse_stream::{Sse, SseByteStream};
use tokio::time::timeout;

use super::{Client, ClientError, Result};

#[cfg(test)]
mod tests;

/// Longest life of one stream; the caller then opens it again.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Time without data after which the stream counts as broken: three of the host's 15 s keep-alive periods.
const SILENCE: Duration = Duration::from_secs(45);
/// Most bytes received without an event; an unfinished event is kept in memory.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// An open event stream.
pub struct Events<'a> {
    client: &'a Client,
    frames: BoxStream<'static, std::result::Result<Sse, sse_stream::Error>>,
    /// Bytes received since the last event.
    received: Arc<AtomicUsize>,
}

/// A change of a task's state.
#[derive(Clone, Debug)]
pub struct Event {
    /// Event id, which identifies the state; passed as `last` to resume the stream.
    pub id: String,
    /// The task in this state.
    pub task: TaskView,
}

impl Client {
    /// Opens the stream of a task's changes. Leaves out the event with id `last`, which the caller has already
    /// received.
    ///
    /// # Errors
    /// Fails if there is no such task, or the host does not answer.
    pub async fn events(&self, task: &str, last: Option<&str>) -> Result<Events<'_>> {
        let request = self.http.get(self.url(&["v1", "tasks", task, "events"])).timeout(TIMEOUT);
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let answer = self.send(request).await?;
        let received = Arc::<AtomicUsize>::default();
        let frames = match answer.status() {
            StatusCode::OK => SseByteStream::new(Box::pin(chunks(answer, Arc::clone(&received)))).boxed(),
            // The task has ended, and `last` was its last event.
            _ => stream::empty().boxed(),
        };
        Ok(Events { client: self, frames, received })
    }
}

/// Returns the chunks of an answer. Ends if the connection breaks or is silent for [`SILENCE`].
fn chunks(answer: Response, received: Arc<AtomicUsize>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::try_unfold((answer, received), async |(mut answer, received)| {
        let Ok(Ok(Some(chunk))) = timeout(SILENCE, answer.chunk()).await else { return Ok(None) };
        if received.fetch_add(chunk.len(), Ordering::Relaxed) + chunk.len() > EVENT_BYTES_MAX {
            return Err(io::Error::other("an event is too large"));
        }
        Ok(Some((chunk, (answer, received))))
    })
}

impl Events<'_> {
    /// Returns the next event, or `None` if the stream has ended: because the task has ended, or because it broke and
    /// must be reopened.
    ///
    /// # Errors
    /// Fails with [`ClientError::Problem`] if the host broke the stream off and says why, and with
    /// [`ClientError::Protocol`] if an event cannot be read or exceeds 1 MiB.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        while let Some(frame) = self.frames.next().await {
            let frame = frame.map_err(|error| self.client.protocol(reason(&error)))?;
            self.received.store(0, Ordering::Relaxed);
            if let (Some(name), Some(data)) = (frame.event, frame.data) {
                return self.read(&name, &data, frame.id).map(Some);
            }
        }
        Ok(None)
    }

    fn read(&self, name: &str, data: &str, id: Option<String>) -> Result<Event> {
        if name == "problem" {
            #[derive(Deserialize)]
            struct BrokeOff {
                code: String,
                detail: String,
            }
            let BrokeOff { code, detail } = self.parse(data)?;
            let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            let problem = Problem {
                code,
                detail,
                status,
                receipt: None,
                output: None,
                backtrace: Vec::new(),
                file: None,
                line: None,
                column: None,
                log: String::new(),
            };
            return Err(ClientError::Problem(Box::new(problem)));
        }
        Ok(Event { id: id.unwrap_or_default(), task: self.parse(data)? })
    }

    fn parse<'a, T: Deserialize<'a>>(&self, data: &'a str) -> Result<T> {
        serde_json::from_str(data).map_err(|error| self.client.protocol(error.to_string()))
    }
}

/// Returns the message of the innermost error.
fn reason(error: &sse_stream::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}
