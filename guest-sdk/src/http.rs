//! HTTP in both directions: requests that the function answers, with [`#[http]`](macro@crate::http), and requests that
//! it sends to hosts it was granted, as by `fusebox deploy --grant http=api.example.com`. The host connects to public
//! addresses only, does not follow redirects and does not decompress bodies.
//!
//! ```
//! use fusebox_guest::http::{Request, Response};
//!
//! #[fusebox_guest::http]
//! fn greet(request: Request) -> Response {
//!     match request.path() {
//!         "/" => Response::new(200).with_text(format!("Hello, {}!", request.parameter("name").unwrap_or_default())),
//!         _ => Response::new(404).with_text("no such page"),
//!     }
//! }
//! # fn main() {
//! let response = greet(Request::new("GET", "/?name=Ada"));
//! assert_eq!((response.status(), response.text()), (200, Some("Hello, Ada!")));
//! # }
//! ```
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

mod answer;
mod message;
mod request;
mod response;

use message::is_word;

pub use answer::IntoResponse;
pub(crate) use answer::reply;
pub use request::{FromRequest, Request};
pub use response::Response;

/// An HTTP request to another host, under construction.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent until `send`"]
pub struct RequestBuilder {
    /// Head in the host's format: a line with method and URL, followed by one line for each header.
    head: String,
    body: Vec<u8>,
    is_valid: bool,
}

/// Starts a request with any method.
pub fn request(method: &str, url: &str) -> RequestBuilder {
    let is_valid = is_word(method) && is_word(url);
    RequestBuilder { head: [method, " ", url, "\n"].concat(), body: Vec::new(), is_valid }
}

/// Starts a GET request.
pub fn get(url: &str) -> RequestBuilder {
    request("GET", url)
}

/// Starts a POST request.
pub fn post(url: &str) -> RequestBuilder {
    request("POST", url)
}

/// Starts a PUT request.
pub fn put(url: &str) -> RequestBuilder {
    request("PUT", url)
}

/// Starts a PATCH request.
pub fn patch(url: &str) -> RequestBuilder {
    request("PATCH", url)
}

/// Starts a DELETE request.
pub fn delete(url: &str) -> RequestBuilder {
    request("DELETE", url)
}

impl RequestBuilder {
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

#[cfg(test)]
mod tests;
