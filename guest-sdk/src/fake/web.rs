//! HTTP servers: responses registered by a test, and requests received.

use std::collections::{BTreeMap, VecDeque};

use crate::Refusal;

/// A request sent by a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// Method.
    pub method: String,
    /// URL as written by the function.
    pub url: String,
    /// Headers as written by the function.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// Response of a server.
#[derive(Clone, Debug)]
pub struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Result of a request: an [`Answer`] or a [`Refusal`].
#[derive(Clone, Debug)]
pub struct Reply(Result<Answer, Refusal>);

#[derive(Default)]
pub(super) struct Web {
    replies: BTreeMap<(String, String), VecDeque<Reply>>,
    requests: Vec<Request>,
}

impl Request {
    /// Returns the first header of this name, ignoring case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn parse(request: &[u8]) -> Option<Self> {
        let end = request.windows(2).position(|pair| pair == b"\n\n")?;
        let mut lines = std::str::from_utf8(request.get(..end)?).ok()?.lines();
        let (method, url) = lines.next()?.split_once(' ')?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.trim().to_owned());
        let headers = lines.map(|line| line.split_once(':').map(owned)).collect::<Option<_>>()?;
        let body = request.get(end + 2..)?.to_vec();
        Some(Self { method: method.to_owned(), url: url.to_owned(), headers, body })
    }
}

impl Answer {
    /// Returns a response with this status, without headers and body.
    #[must_use]
    pub fn new(status: u16) -> Self {
        Self { head: format!("{status}\n"), body: Vec::new() }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{}: {value}\n", name.to_lowercase());
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self(Ok(answer))
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self(Err(refusal))
    }
}

impl Web {
    pub(super) fn register(&mut self, method: &str, url: &str, reply: Reply) {
        self.replies.entry((method.to_owned(), url.to_owned())).or_default().push_back(reply);
    }

    pub(super) fn requests(&self) -> &[Request] {
        &self.requests
    }

    pub(super) fn send(&mut self, request: &[u8]) -> Result<Vec<u8>, Refusal> {
        let request = Request::parse(request).ok_or(Refusal::Invalid)?;
        let replies = self.replies.get_mut(&(request.method.clone(), request.url.clone()));
        self.requests.push(request);
        let replies = replies.ok_or(Refusal::NotAllowed)?;
        let reply = if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() };
        let Answer { head, body } = reply.ok_or(Refusal::NotAllowed)?.0?;
        Ok([head.as_bytes(), b"\n", &body].concat())
    }
}
