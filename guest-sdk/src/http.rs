//! HTTP requests to other hosts, those that the function was granted: `fusebox deploy --grant http=api.example.com`. The
//! host connects to public addresses only, follows no redirect and unpacks nothing.
//!
//! ```
//! use fusebox_guest::{fake, http};
//!
//! fake::http("GET", "https://api.example.com/rates", fake::Answer::new(200).body("1.08"));
//!
//! let response = http::get("https://api.example.com/rates").header("accept", "text/plain").send()?;
//! assert!(response.is_success());
//! assert_eq!(response.text(), Some("1.08"));
//! # Ok::<(), fusebox_guest::Refusal>(())
//! ```

use crate::{Refusal, host};

/// A request that is being made.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct Request {
    /// The head as the host reads it: a line with method and URL, then one for each header.
    head: String,
    body: Vec<u8>,
    is_valid: bool,
}

/// A request of any method.
pub fn request(method: &str, url: &str) -> Request {
    let is_valid = is_word(method) && is_word(url);
    Request { head: [method, " ", url, "\n"].concat(), body: Vec::new(), is_valid }
}

/// A GET request.
pub fn get(url: &str) -> Request {
    request("GET", url)
}

/// A POST request.
pub fn post(url: &str) -> Request {
    request("POST", url)
}

/// A PUT request.
pub fn put(url: &str) -> Request {
    request("PUT", url)
}

/// A PATCH request.
pub fn patch(url: &str) -> Request {
    request("PATCH", url)
}

/// A DELETE request.
pub fn delete(url: &str) -> Request {
    request("DELETE", url)
}

impl Request {
    /// Adds a header. Those of the connection, such as `Host` and `Content-Length`, are the host's to set.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        // A line break in either would begin a header that was not meant.
        self.is_valid &= is_word(name) && !name.contains(':') && !value.contains(['\n', '\r']);
        for part in [name, ": ", value, "\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// Proves with a token who asks: `Authorization: Bearer …`.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", ["Bearer ", token.as_ref()].concat())
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON, and says so in a header.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.body(body).header("content-type", "application/json"),
            Err(_) => {
                self.is_valid = false;
                self
            }
        }
    }

    /// Sends it and waits for the answer, at most until the run's deadline. An answer with an error's status is an
    /// answer.
    ///
    /// # Errors
    /// [`Refusal::NotAllowed`] where the function was not granted the host, or it is at a private address;
    /// [`Refusal::Unavailable`] where it cannot be reached; else why there is no answer.
    pub fn send(self) -> Result<Response, Refusal> {
        if !self.is_valid {
            return Err(Refusal::Invalid);
        }
        let mut request = self.head.into_bytes();
        request.push(b'\n');
        request.extend_from_slice(&self.body);
        let answer = host::bytes(host::http(&request))?.ok_or(Refusal::Unavailable)?;
        Response::parse(answer).ok_or(Refusal::Unavailable)
    }
}

/// Whether it can be a method, a URL or a header's name, as far as lines and words go.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte <= b' ')
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    /// The head's bytes, then the body's.
    bytes: Vec<u8>,
    /// Where the header lines begin and end.
    headers: (usize, usize),
}

impl Response {
    /// From `STATUS\n`, header lines, `\n`, the body.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let status_end = bytes.iter().position(|byte| *byte == b'\n')?;
        let status = std::str::from_utf8(bytes.get(..status_end)?).ok()?.parse().ok()?;
        // Where there is no header, the status's own line break is the first of the two.
        let end = status_end + bytes.get(status_end..)?.windows(2).position(|pair| pair == b"\n\n")? + 1;
        Some(Self { status, headers: (status_end + 1, end), bytes })
    }

    /// The status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status says that the request did what it was to do: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of this name, whatever its case; `None` where there is none or it is no text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All headers that are text, names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.bytes.get(self.headers.0..self.headers.1).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(": "))
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.headers.1 + 1..).unwrap_or_default()
    }

    /// The body, where it is text in UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.body()).ok()
    }

    /// The body's value, where it is JSON.
    ///
    /// # Errors
    /// Where it is not of this type.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(self.body())
    }
}

#[cfg(test)]
mod tests;
