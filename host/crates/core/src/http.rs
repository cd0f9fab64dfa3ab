//! HTTP messages as bytes, the form in which functions exchange them with their host: a line `METHOD target` or
//! `STATUS`, a line `name: value` for each header, an empty line, the body. Lines end with `\n`.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};

use bytes::Bytes;

use crate::limits::{HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX};

pub mod cgi;

/// Methods that pass, in either direction. CONNECT opens a tunnel and TRACE reveals headers; functions need neither.
pub const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// Headers that control a connection, which only its two ends may set. With them, a message could be read as another
/// one than was checked.
pub const CONNECTION_HEADERS: [&str; 11] = [
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Header of the form alone, which carries one trailer as `name: value`.
pub const TRAILER: &str = "fusebox-trailer";

/// Size of the first line of a response.
const STATUS_BYTES: usize = 3;
/// Statuses of a final response.
const STATUSES: core::ops::RangeInclusive<u16> = 200..=599;

/// Fault of a message. Its text is a sentence that says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The message has no head that an empty line ends.
    #[error(
        "a message is a line with the method and the target or with the status, header lines, an empty line, and \
             the body"
    )]
    NoHead,
    /// The stdout of a command is no response.
    #[error(
        "the stdout of a command that answers HTTP begins with header lines, of which one is Content-Type, Location \
             or Status, and an empty line"
    )]
    NoCgiHead,
    /// The first line and the headers are too large together.
    #[error("the first line and the headers have at most {HTTP_HEADERS_BYTES_MAX} bytes together")]
    HeadTooLarge,
    /// There are too many headers.
    #[error("a message has at most {HTTP_HEADERS_MAX} headers")]
    TooManyHeaders,
    /// A line is no header.
    #[error("a header is a line such as `accept: text/plain`, without control characters")]
    BadHeader,
    /// A header is set by the host.
    #[error("headers of the connection, such as Transfer-Encoding and Upgrade, are set by the host: leave them out")]
    ConnectionHeader,
    /// The method is none of [`METHODS`].
    #[error("the method is not GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS")]
    BadMethod,
    /// The target is not a path with an optional query.
    #[error("the target is a path such as `/a?b=c`, with everything but visible ASCII percent-encoded")]
    BadTarget,
    /// The status is not that of a final response.
    #[error("the status is a number from 200 to 599")]
    BadStatus,
}

/// Header, or trailer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Name in lower case.
    pub name: String,
    /// Value, without blanks around it.
    pub value: Bytes,
}

impl Header {
    /// Returns a header.
    ///
    /// # Errors
    /// `BadHeader` if the name is no token, or the value has control characters.
    pub fn new(name: &str, value: impl Into<Bytes>) -> Result<Self, MessageError> {
        let value = value.into();
        let is_sound = !name.is_empty() && name.bytes().all(is_token) && value.iter().copied().all(is_in_value);
        if !is_sound {
            return Err(MessageError::BadHeader);
        }
        Ok(Self { name: name.to_ascii_lowercase(), value })
    }

    /// Returns whether the header controls a connection.
    #[must_use]
    pub fn is_of_connection(&self) -> bool {
        CONNECTION_HEADERS.contains(&self.name.as_str())
    }

    /// Parses `name: value`.
    fn parse(line: &Bytes) -> Result<Self, MessageError> {
        let colon = line.iter().position(|byte| *byte == b':').ok_or(MessageError::BadHeader)?;
        let (name, value) = (line.slice(..colon), line.slice(colon + 1..));
        let name = core::str::from_utf8(&name).map_err(|_| MessageError::BadHeader)?;
        Self::new(name, value.slice_ref(value.trim_ascii()))
    }

    fn write(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(self.name.as_bytes());
        to.extend_from_slice(b": ");
        to.extend_from_slice(&self.value);
        to.push(b'\n');
    }
}

/// First line and headers of a message, of either kind, and its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// First line.
    pub first: String,
    /// Headers in their order.
    pub headers: Vec<Header>,
    /// Body.
    pub body: Bytes,
}

impl Parts {
    /// Splits a message.
    ///
    /// # Errors
    /// Fails if there is no head, or it is not within its bounds.
    pub fn parse(message: &Bytes) -> Result<Self, MessageError> {
        let searched = message.get(..HTTP_HEADERS_BYTES_MAX + 2).unwrap_or(message);
        let end = searched.windows(2).position(|pair| pair == b"\n\n");
        let end =
            end.ok_or(if searched.len() < message.len() { MessageError::HeadTooLarge } else { MessageError::NoHead })?;
        let mut lines = message.get(..end).unwrap_or_default().split(|byte| *byte == b'\n');
        let first = core::str::from_utf8(lines.next().unwrap_or_default()).map_err(|_| MessageError::NoHead)?;
        let mut headers = Vec::new();
        for line in lines {
            if headers.len() >= HTTP_HEADERS_MAX {
                return Err(MessageError::TooManyHeaders);
            }
            let header = Header::parse(&message.slice_ref(line))?;
            if header.is_of_connection() {
                return Err(MessageError::ConnectionHeader);
            }
            headers.push(header);
        }
        Ok(Self { first: first.to_string(), headers, body: message.slice(end + 2..) })
    }
}

/// Request that a function handles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Method, one of [`METHODS`].
    pub method: String,
    /// Path and query, from the function's own root.
    pub target: String,
    /// Headers in their order, none of the connection.
    pub headers: Vec<Header>,
    /// Body.
    pub body: Bytes,
}

impl Request {
    /// Parses a request.
    ///
    /// # Errors
    /// Fails with the first fault.
    pub fn parse(message: &Bytes) -> Result<Self, MessageError> {
        let Parts { first, headers, body } = Parts::parse(message)?;
        let (method, target) = first.split_once(' ').ok_or(MessageError::NoHead)?;
        if !METHODS.contains(&method) {
            return Err(MessageError::BadMethod);
        }
        if !target.starts_with('/') || !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(MessageError::BadTarget);
        }
        Ok(Self { method: method.to_string(), target: target.to_string(), headers, body })
    }

    /// Returns, as bytes, the request that stands for an input of this content type: `POST /`. A content type that
    /// cannot be sent is left out.
    #[must_use]
    pub fn of_input(content_type: &[u8], body: &[u8]) -> Bytes {
        let mut message = Vec::with_capacity(body.len() + content_type.len() + 32);
        message.extend_from_slice(b"POST /\n");
        if let Ok(header) = Header::new("content-type", Bytes::copy_from_slice(content_type.trim_ascii())) {
            header.write(&mut message);
        }
        message.push(b'\n');
        message.extend_from_slice(body);
        message.into()
    }

    /// Returns the request as bytes.
    ///
    /// # Errors
    /// Fails if the head is above its bounds.
    pub fn to_bytes(&self) -> Result<Bytes, MessageError> {
        written(&[&self.method, " ", &self.target], &self.headers, &self.body)
    }

    /// Returns the first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// Splits the target into path and query.
    #[must_use]
    pub fn path_and_query(&self) -> (&str, Option<&str>) {
        match self.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (&self.target, None),
        }
    }
}

/// Response of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// Status, from 200 to 599.
    pub status: u16,
    /// Headers in their order, none of the connection.
    pub headers: Vec<Header>,
    /// Body.
    pub body: Bytes,
    /// Headers that follow the body.
    pub trailers: Vec<Header>,
}

impl Response {
    /// Returns a response with status 200 and a content type.
    #[must_use]
    pub fn of(content_type: &'static str, body: Bytes) -> Self {
        let value = Bytes::from_static(content_type.as_bytes());
        let headers = Vec::from([Header { name: "content-type".to_string(), value }]);
        Self { status: 200, headers, body, trailers: Vec::new() }
    }

    /// Returns a response of nothing but trailers: the form of those whose body is sent apart.
    #[must_use]
    pub const fn of_trailers(trailers: Vec<Header>) -> Self {
        Self { status: 200, headers: Vec::new(), body: Bytes::new(), trailers }
    }

    /// Parses a response.
    ///
    /// # Errors
    /// Fails with the first fault.
    pub fn parse(message: &Bytes) -> Result<Self, MessageError> {
        let Parts { first, headers, body } = Parts::parse(message)?;
        let status = status(&first).ok_or(MessageError::BadStatus)?;
        let (trailers, headers): (Vec<_>, Vec<_>) = headers.into_iter().partition(|header| header.name == TRAILER);
        let trailers = trailers.iter().map(|trailer| Header::parse(&trailer.value)).collect::<Result<Vec<_>, _>>()?;
        if trailers.iter().any(|trailer| trailer.is_of_connection() || trailer.name == TRAILER) {
            return Err(MessageError::ConnectionHeader);
        }
        Ok(Self { status, headers, body, trailers })
    }

    /// Returns the response as bytes.
    ///
    /// # Errors
    /// Fails if the head, with the trailers, is above its bounds.
    pub fn to_bytes(&self) -> Result<Bytes, MessageError> {
        written(&[&self.status.to_string()], &self.all_headers(), &self.body)
    }

    /// Checks a response whose body is not whole.
    ///
    /// # Errors
    /// Fails if the head, with the trailers, is above its bounds.
    pub fn check(&self) -> Result<(), MessageError> {
        bounded(STATUS_BYTES, &self.all_headers()).map(drop)
    }

    /// Returns headers and trailers, the latter in the form of headers.
    fn all_headers(&self) -> Vec<Header> {
        let trailers = self.trailers.iter().map(|Header { name, value }| Header {
            name: TRAILER.to_string(),
            value: [name.as_bytes(), b": ", value].concat().into(),
        });
        self.headers.iter().cloned().chain(trailers).collect()
    }

    /// Returns the first header of this name, given in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.name == name).map(|header| &header.value)
    }

    /// Returns whether the status is that of a fault of the function: 500 or above.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        self.status >= 500
    }
}

/// Returns the size of a head, given that of its first line.
fn bounded(first: usize, headers: &[Header]) -> Result<usize, MessageError> {
    if headers.len() > HTTP_HEADERS_MAX {
        return Err(MessageError::TooManyHeaders);
    }
    let size = headers.iter().fold(first + 1, |size, header| size + header.name.len() + header.value.len() + 3);
    // The last line's end is not part of what `Parts::parse` counts.
    if size > HTTP_HEADERS_BYTES_MAX + 1 {
        return Err(MessageError::HeadTooLarge);
    }
    Ok(size)
}

/// Joins a message, within the bounds of its head.
fn written(first: &[&str], headers: &[Header], body: &Bytes) -> Result<Bytes, MessageError> {
    let first = first.concat();
    let size = bounded(first.len(), headers)?;
    let mut message = Vec::with_capacity(size + 1 + body.len());
    message.extend_from_slice(first.as_bytes());
    message.push(b'\n');
    headers.iter().for_each(|header| header.write(&mut message));
    message.push(b'\n');
    message.extend_from_slice(body);
    Ok(message.into())
}

/// Parses a status. A number's parser alone would accept a plus sign and leading zeros.
fn status(text: &str) -> Option<u16> {
    let digits = Some(text).filter(|text| text.len() == 3 && !text.starts_with('+'))?;
    digits.parse().ok().filter(|status| STATUSES.contains(status))
}

/// Returns whether a byte can be part of a header's name (RFC 9110, 5.6.2).
const fn is_token(byte: u8) -> bool {
    matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
        || byte.is_ascii_alphanumeric()
}

/// Returns whether a byte can be part of a header's value; bytes above ASCII are kept as they are (RFC 9110, 5.5).
const fn is_in_value(byte: u8) -> bool {
    byte == b'\t' || byte >= b' ' && byte != 0x7f
}

#[cfg(test)]
mod tests;
