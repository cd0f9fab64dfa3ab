//! Client side of a task's event stream.

use std::time::Duration;

use fusebox_api::tasks::TaskView;
use reqwest::{Response, StatusCode};
use serde::Deserialize;

use super::{Client, ClientError, Problem, Result};

/// Longest life of one stream; the caller then opens it again.
const TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// Time without data after which the stream counts as broken: three of the host's 15 s keep-alive periods.
const SILENCE: Duration = Duration::from_secs(45);
/// Upper bound on the size of an event.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// An open event stream.
pub struct Events<'a> {
    client: &'a Client,
    answer: Option<Response>,
    bytes: Vec<u8>,
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
    pub async fn events(&self, task: &str, last: Option<&str>) -> Result<Events<'_>> {
        let request = self.http.get(self.url(&["v1", "tasks", task, "events"])).timeout(TIMEOUT);
        let request = last.into_iter().fold(request, |request, last| request.header("last-event-id", last));
        let answer = self.send(request).await?;
        let answer = (answer.status() == StatusCode::OK).then_some(answer);
        Ok(Events { client: self, answer, bytes: Vec::new() })
    }
}

impl Events<'_> {
    /// Returns the next event, or `None` if the stream has ended: because the task has ended, or because it broke and
    /// must be reopened.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let rest = self.bytes.split_off(end + 2);
                let event = std::mem::replace(&mut self.bytes, rest);
                match self.read(&String::from_utf8_lossy(&event))? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            if self.bytes.len() > EVENT_BYTES_MAX {
                return Err(self.client.protocol("an event is too large".to_owned()));
            }
            let Some(answer) = &mut self.answer else { return Ok(None) };
            match tokio::time::timeout(SILENCE, answer.chunk()).await {
                Ok(Ok(Some(chunk))) => self.bytes.extend_from_slice(&chunk),
                Ok(Ok(None) | Err(_)) | Err(_) => self.answer = None,
            }
        }
    }

    /// Parses an event's lines; `None` for a comment that keeps the connection open.
    fn read(&self, lines: &str) -> Result<Option<Event>> {
        let field = |name: &str| lines.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (Some(name), Some(data)) = (field("event"), field("data")) else { return Ok(None) };
        if name == "problem" {
            #[derive(Deserialize)]
            struct BrokeOff {
                code: String,
                detail: String,
            }
            let BrokeOff { code, detail } = self.parse(data)?;
            let status = StatusCode::SERVICE_UNAVAILABLE.as_u16();
            let problem = Problem { code, detail, status, receipt: None, backtrace: Vec::new(), log: Vec::new() };
            return Err(ClientError::Problem(Box::new(problem)));
        }
        Ok(Some(Event { id: field("id").unwrap_or_default().to_owned(), task: self.parse(data)? }))
    }

    fn parse<'a, T: Deserialize<'a>>(&self, data: &'a str) -> Result<T> {
        serde_json::from_str(data).map_err(|error| self.client.protocol(error.to_string()))
    }
}
