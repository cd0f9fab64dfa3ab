//! Responses, of functions and of other hosts.

use super::message::Message;

/// Response: the one that a function gives, or that of another host.
///
/// ```
/// use fusebox_guest::http::Response;
///
/// let page = Response::new(404).with_html("<h1>No such page</h1>").with_header("x-id", "7");
/// assert_eq!((page.status(), page.header("content-type")), (404, Some("text/html; charset=utf-8")));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    status: u16,
    message: Message,
    /// First header that cannot be sent.
    fault: Option<String>,
}

impl Response {
    /// Starts a response without headers and body. The host accepts a status from 200 to 599.
    pub fn new(status: u16) -> Self {
        Self { status, message: Message::new(&status.to_string()), fault: None }
    }

    /// Parses `STATUS\n`, header lines, `\n`, body.
    pub(super) fn parse(bytes: Vec<u8>) -> Option<Self> {
        let message = Message::parse(bytes)?;
        Some(Self { status: message.first()?.parse().ok()?, message, fault: None })
    }

    /// Adds a header. Headers of the connection, such as `Transfer-Encoding`, are set by the host; a function that
    /// gives a response with one fails, and so does one with a line break in a header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<str>) -> Self {
        if !self.message.add(name, value.as_ref()) {
            self.fault.get_or_insert_with(|| format!("the header {name:?} has a character that cannot be sent"));
        }
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn with_body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.message.set_body(body.as_ref());
        self
    }

    /// Sets the body to a text, and the content type.
    #[must_use]
    pub fn with_text(self, text: impl AsRef<str>) -> Self {
        self.with_body(text.as_ref()).with_header("content-type", "text/plain; charset=utf-8")
    }

    /// Sets the body to a page, and the content type.
    #[must_use]
    pub fn with_html(self, page: impl AsRef<str>) -> Self {
        self.with_body(page.as_ref()).with_header("content-type", "text/html; charset=utf-8")
    }

    /// Sets the body to a value as JSON, and the content type. A function fails if the value cannot be written as JSON.
    #[cfg(feature = "json")]
    #[must_use]
    pub fn with_json<T: serde::Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => self.with_body(body).with_header("content-type", "application/json"),
            Err(error) => {
                self.fault.get_or_insert_with(|| format!("the body cannot be written as JSON: {error}"));
                self
            }
        }
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

    /// Returns the response in the host's format.
    ///
    /// # Errors
    /// Returns the first thing that cannot be sent.
    pub(super) fn into_bytes(self) -> Result<Vec<u8>, Vec<u8>> {
        match self.fault {
            Some(fault) => Err(fault.into_bytes()),
            None => Ok(self.message.into_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_written_as_the_host_reads_it() {
        let response = Response::new(201).with_header("Location", "/7").with_text("made").with_header("x", "é");
        let bytes = response.clone().into_bytes().unwrap();
        let text = "201\nlocation: /7\ncontent-type: text/plain; charset=utf-8\nx: é\n\nmade";
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), text);
        assert_eq!(Response::parse(bytes), Some(response));
        assert_eq!(Response::new(204).into_bytes(), Ok(b"204\n\n".to_vec()));
    }

    #[test]
    fn a_header_that_cannot_be_sent_is_an_error_that_names_it() {
        for (name, value) in
            [("x", "a\nset-cookie: b"), ("x", "a\rb"), ("x\n", "a"), ("x: y", "a"), ("", "a"), ("x", "\0")]
        {
            let error = Response::new(200).with_header(name, value).with_header("y", "\n").into_bytes().unwrap_err();
            let error = String::from_utf8(error).unwrap();
            assert_eq!(error, format!("the header {name:?} has a character that cannot be sent"));
        }
    }
}
