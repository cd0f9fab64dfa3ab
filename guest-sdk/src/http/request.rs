//! Requests that a function answers.

use super::message::{Message, is_word};

/// Request that a function answers. The path is relative to the function: `/` for `/fn/NAME/` on the host.
///
/// ```
/// use fusebox_guest::http::Request;
///
/// let request = Request::new("POST", "/items?q=a%20b").with_header("X-Id", "7").with_body("so");
/// assert_eq!((request.method(), request.path(), request.query()), ("POST", "/items", Some("q=a%20b")));
/// assert_eq!(request.parameter("q").as_deref(), Some("a b"));
/// assert_eq!((request.header("x-id"), request.text()), (Some("7"), Some("so")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    target: String,
    message: Message,
}

impl Request {
    /// Creates a request, for a test.
    ///
    /// # Panics
    /// Panics if method or target have spaces or control characters.
    pub fn new(method: &str, target: &str) -> Self {
        assert!(is_word(method) && is_word(target), "a method and a target have no spaces: {method:?} {target:?}");
        let message = Message::new(&[method, " ", target].concat());
        Self { method: method.to_owned(), target: target.to_owned(), message }
    }

    /// Parses `METHOD target\n`, header lines, `\n`, body.
    pub(crate) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let message = Message::parse(bytes)?;
        let (method, target) = message.first()?.split_once(' ')?;
        Some(Self { method: method.to_owned(), target: target.to_owned(), message })
    }

    /// Adds a header, for a test.
    ///
    /// # Panics
    /// Panics if the header has control characters.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        assert!(self.message.add(name, value.as_ref()), "{name:?} is no header");
        self
    }

    /// Sets the body, for a test.
    #[must_use]
    pub fn with_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.message.set_body(body.as_ref());
        self
    }

    /// Returns the method, such as `GET`.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// Returns the path, which begins with `/`, as it was sent: percent signs are not decoded.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Returns the query as it was sent.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the first value of this name in the query, decoded; empty if the name has none.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut decoded = pairs.map(|(name, value)| (decoded(name), value));
        decoded.find(|(known, _)| known == name).map(|(_, value)| self::decoded(value))
    }

    /// Returns the first header of this name, ignoring case; `None` if there is none or it is not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }

    /// Returns all headers that are text, with names in lower case.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.message.headers()
    }

    /// Returns the body.
    pub fn body(&self) -> &[u8] {
        self.message.body()
    }

    /// Returns the body by itself.
    pub fn into_body(self) -> Vec<u8> {
        self.message.into_body()
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

/// Argument type of a function that answers HTTP.
#[diagnostic::on_unimplemented(
    message = "a function that answers HTTP cannot take `{Self}`",
    label = "not a request",
    note = "it takes no argument, or `fusebox_guest::http::Request`"
)]
pub trait FromRequest: Sized {
    /// Converts the request.
    fn from_request(request: Request) -> Self;
}

impl FromRequest for Request {
    fn from_request(request: Request) -> Self {
        request
    }
}

/// Ignores the request.
impl FromRequest for () {
    fn from_request(_: Request) -> Self {}
}

/// Decodes a name or value of a query: plus signs are spaces, and bytes that are not UTF-8 are replaced.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.get(..2)).flatten();
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_of_the_host_has_its_parts() {
        let request = Request::parse(b"PUT /a/b?x=1\naccept: a/b\nx: \n\n\nbody\n\n".to_vec()).unwrap();
        assert_eq!((request.method(), request.path(), request.query()), ("PUT", "/a/b", Some("x=1")));
        assert_eq!((request.header("Accept"), request.header("x"), request.header("y")), (Some("a/b"), Some(""), None));
        assert_eq!(request.body(), b"\nbody\n\n");
        let built = Request::new("PUT", "/a/b?x=1").with_body("\nbody\n\n").with_header("Accept", "a/b");
        assert_eq!(built.with_header("x", ""), request);
        assert_eq!(request.into_body(), b"\nbody\n\n");
        for text in ["", "GET /", "GET /\n", "GET\n\n"] {
            assert_eq!(Request::parse(text.into()), None, "{text:?}");
        }
    }

    #[test]
    fn parameters_are_decoded() {
        let request = Request::new("GET", "/?a=1&b=%C3%A9+%2B&c&a=2&%61b=%zz&=e");
        for (name, value) in [("a", "1"), ("b", "é +"), ("c", ""), ("ab", "%zz"), ("", "e")] {
            assert_eq!(request.parameter(name).as_deref(), Some(value), "{name}");
        }
        assert_eq!((request.parameter("d"), Request::new("GET", "/").parameter("a")), (None, None));
    }
}
