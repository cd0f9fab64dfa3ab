//! HTTP requests to hosts that the function was granted, as by `fusebox deploy --grant http=api.example.com`. The host
//! connects to public addresses only, does not follow redirects and does not decompress bodies.
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

/// An HTTP request under construction.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct Request {
    /// Head in the host's format: a line with method and URL, followed by one line for each header.
    head: String,
    body: Vec<u8>,
    is_valid: bool,
}

/// Starts a request with any method.
pub fn request(method: &str, url: &str) -> Request {
    let is_valid = is_word(method) && is_word(url);
    Request { head: [method, " ", url, "\n"].concat(), body: Vec::new(), is_valid }
}

/// Starts a GET request.
pub fn get(url: &str) -> Request {
    request("GET", url)
}

/// Starts a POST request.
pub fn post(url: &str) -> Request {
    request("POST", url)
}

/// Starts a PUT request.
pub fn put(url: &str) -> Request {
    request("PUT", url)
}

/// Starts a PATCH request.
pub fn patch(url: &str) -> Request {
    request("PATCH", url)
}

/// Starts a DELETE request.
pub fn delete(url: &str) -> Request {
    request("DELETE", url)
}

impl Request {
    /// Adds a header. Headers of the connection, such as `Host` and `Content-Length`, are set by the host.
    pub fn header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        let value = value.as_ref();
        // A line break in either would start another header.
        self.is_valid &= is_word(name) && !name.contains(':') && !value.contains(['\n', '\r']);
        for part in [name, ": ", value, "\n"] {
            self.head.push_str(part);
        }
        self
    }

    /// Authenticates with a token: `Authorization: Bearer …`.
    pub fn bearer(self, token: impl AsRef<str>) -> Self {
        self.header("authorization", ["Bearer ", token.as_ref()].concat())
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets the body to a value as JSON, and the content type.
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

    /// Sends the request and waits for the response, at most until the run's deadline. A response with an error status
    /// is returned as a response.
    ///
    /// # Errors
    /// Returns [`Refusal::NotAllowed`] if the function was not granted the host or the host has a private address,
    /// [`Refusal::Unavailable`] if it cannot be reached, or another refusal of the host.
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

/// Returns whether a text can be a method, URL or header name, which contain no spaces or control characters.
fn is_word(text: &str) -> bool {
    !text.is_empty() && !text.bytes().any(|byte| byte <= b' ')
}

/// Response of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    /// Bytes of the head followed by those of the body.
    bytes: Vec<u8>,
    /// Start and end of the header lines.
    headers: (usize, usize),
}

impl Response {
    /// Parses `STATUS\n`, header lines, `\n`, body.
    fn parse(bytes: Vec<u8>) -> Option<Self> {
        let status_end = bytes.iter().position(|byte| *byte == b'\n')?;
        let status = std::str::from_utf8(bytes.get(..status_end)?).ok()?.parse().ok()?;
        // Without headers, the line break after the status is the first of the two.
        let end = status_end + bytes.get(status_end..)?.windows(2).position(|pair| pair == b"\n\n")? + 1;
        Some(Self { status, headers: (status_end + 1, end), bytes })
    }

    /// Returns the status, such as 200.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Returns whether the status indicates success: 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the first header of this name, ignoring case; `None` if there is none or it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Returns all headers that are text, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.bytes.get(self.headers.0..self.headers.1).unwrap_or_default().split(|byte| *byte == b'\n');
        lines.filter_map(|line| std::str::from_utf8(line).ok()?.split_once(": "))
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.headers.1 + 1..).unwrap_or_default()
    }

    /// Returns the body as text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.body()).ok()
    }

    /// Parses the body as JSON.
    ///
    /// # Errors
    /// Returns an error if the body is not JSON of this type.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_slice(self.body())
    }
}

#[cfg(test)]
mod tests;
