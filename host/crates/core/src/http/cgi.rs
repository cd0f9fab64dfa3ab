//! Requests and responses of commands, as CGI 1.1 (RFC 3875) and WAGI have them: the request in the environment, the
//! arguments and on stdin, the response on stdout.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use bytes::Bytes;

use super::{Header, MessageError, Request, Response};
use crate::limits::{HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX};

/// Request header with the path at which the function is reached, which is not part of the target.
pub const PREFIX: &str = "x-forwarded-prefix";
/// Request header with the whole URL.
pub const FULL_URL: &str = "spin-full-url";
/// Request header with the addresses from which the request came, the nearest last.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// Header that no variable shows: programs would take `HTTP_PROXY` for the address of a proxy.
const PROXY: &str = "proxy";

/// Request as a command receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgiRequest {
    /// Arguments: the parts of the query between `&`, as WAGI passes them.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Body.
    pub stdin: Bytes,
}

impl From<Request> for CgiRequest {
    fn from(request: Request) -> Self {
        let (path, query) = request.path_and_query();
        let text = |name: &str| {
            request.header(name).and_then(|value| core::str::from_utf8(value).ok()).unwrap_or_default().to_string()
        };
        let (prefix, url, host) = (text(PREFIX), text(FULL_URL), text("host"));
        let is_tls = url.starts_with("https:");
        let (server, port) = match host.rsplit_once(':') {
            Some((server, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (server, port),
            _ => (host.as_str(), if is_tls { "443" } else { "80" }),
        };
        let forwarded = text(FORWARDED_FOR);
        let remote = forwarded.rsplit(',').next().unwrap_or_default().trim();
        let length = request.body.len().to_string();
        let content_type = text("content-type");
        let decoded = decoded(path);
        let uri = [prefix.as_str(), request.target.as_str()].concat();
        let variables = [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", concat!("fusebox/", env!("CARGO_PKG_VERSION"))),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", server),
            ("SERVER_PORT", port),
            ("REQUEST_METHOD", request.method.as_str()),
            ("REQUEST_URI", uri.as_str()),
            ("SCRIPT_NAME", prefix.as_str()),
            ("PATH_INFO", decoded.as_str()),
            ("PATH_TRANSLATED", decoded.as_str()),
            ("QUERY_STRING", query.unwrap_or_default()),
            ("CONTENT_LENGTH", length.as_str()),
            ("CONTENT_TYPE", content_type.as_str()),
            ("REMOTE_ADDR", remote),
            ("REMOTE_HOST", remote),
            ("X_FULL_URL", url.as_str()),
            ("X_RAW_PATH_INFO", path),
            ("HTTPS", if is_tls { "on" } else { "" }),
        ];
        // CGI leaves out a variable about something that the request does not have; a query always is one.
        let is_there = |(name, value): &(&str, &str)| !value.is_empty() || *name == "QUERY_STRING";
        let variables = variables.into_iter().filter(is_there);
        let mut env: Vec<_> = variables.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        env.extend(shown(&request.headers));
        let args = query.unwrap_or_default().split('&').filter(|part| !part.is_empty()).map(ToString::to_string);
        Self { args: args.collect(), env, stdin: request.body }
    }
}

/// Returns the variables of headers: `HTTP_` and the name in capitals. Values of the same header are joined.
fn shown(headers: &[Header]) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = Vec::new();
    for Header { name, value } in headers {
        // An underscore would give the variable of another header, with a hyphen there.
        if name == PROXY || name == "content-length" || name == "content-type" || name.contains('_') {
            continue;
        }
        let variable = format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_"));
        let value = String::from_utf8_lossy(value);
        match variables.iter_mut().find(|(known, _)| *known == variable) {
            Some((_, joined)) => {
                joined.push_str(if name == "cookie" { "; " } else { ", " });
                joined.push_str(&value);
            }
            None => variables.push((variable, value.into_owned())),
        }
    }
    variables
}

/// Decodes the percent signs of a path, unless that leaves something that a variable cannot hold.
fn decoded(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = (*first == b'%').then(|| after.first_chunk::<2>()).flatten();
        let byte = digits.and_then(|digits| hex::decode(digits).ok()).and_then(|byte| byte.first().copied());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    let text = String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'));
    text.unwrap_or_else(|| path.to_string())
}

/// Returns whether the start of a command's stdout is enough for [`response`] to find the head, or the fault of it.
#[must_use]
pub fn has_head(stdout: &[u8]) -> bool {
    let mut lines = stdout.split(|byte| *byte == b'\n');
    // The rest after the last end of a line is not a line yet.
    let _ = lines.next_back();
    stdout.len() > HTTP_HEADERS_BYTES_MAX || lines.any(|line| line.is_empty() || line == b"\r")
}

/// Parses the stdout of a command: header lines, an empty line, the body. `Status` gives the status, and a `Location`
/// without one is a redirect of status 302.
///
/// # Errors
/// Fails with the first fault.
pub fn response(stdout: &Bytes) -> Result<Response, MessageError> {
    let (mut headers, mut status, mut at) = (Vec::new(), None, 0);
    loop {
        let searched = stdout.get(at..).unwrap_or_default();
        let searched = searched.get(..HTTP_HEADERS_BYTES_MAX.saturating_sub(at) + 1).unwrap_or(searched);
        let Some(end) = searched.iter().position(|byte| *byte == b'\n') else {
            let is_long = at + searched.len() > HTTP_HEADERS_BYTES_MAX;
            return Err(if is_long { MessageError::HeadTooLarge } else { MessageError::NoCgiHead });
        };
        let line = stdout.slice(at..at + end);
        let line = line.slice_ref(line.strip_suffix(b"\r").unwrap_or(&line));
        at += end + 1;
        if line.is_empty() {
            break;
        }
        let header =
            Header::parse(&line).map_err(|fault| if at == end + 1 { MessageError::NoCgiHead } else { fault })?;
        if header.is_of_connection() {
            return Err(MessageError::ConnectionHeader);
        }
        match header.name.as_str() {
            "status" => status = Some(number(&header.value)?),
            _ if headers.len() >= HTTP_HEADERS_MAX => return Err(MessageError::TooManyHeaders),
            _ => headers.push(header),
        }
    }
    let has = |name: &str| headers.iter().any(|header: &Header| header.name == name);
    let status = match status {
        Some(status) => status,
        None if has("location") => 302,
        None if has("content-type") => 200,
        None => return Err(MessageError::NoCgiHead),
    };
    Ok(Response { status, headers, body: stdout.slice(at..), trailers: Vec::new() })
}

/// Parses the status of a line such as `Status: 404 Not Found`.
fn number(value: &Bytes) -> Result<u16, MessageError> {
    let digits = value.split(|byte| *byte == b' ').next().unwrap_or_default();
    core::str::from_utf8(digits).ok().and_then(super::status).ok_or(MessageError::BadStatus)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(text: &str) -> CgiRequest {
        Request::parse(&Bytes::copy_from_slice(text.as_bytes())).unwrap().into()
    }

    fn parsed(text: &'static str) -> Result<Response, MessageError> {
        response(&Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_request_becomes_variables_arguments_and_stdin() {
        let request = request(
            "POST /a%20b/c?x=1&y\nhost: h.example:8000\nx-forwarded-prefix: /fn/f\ncontent-type: text/plain\n\
             cookie: a=1\ncookie: b=2\nx-two: 1\nx-two: 2\nproxy: evil\nx_two: 3\nx-forwarded-for: 10.0.0.1, ::1\n\
             spin-full-url: https://h.example:8000/fn/f/a%20b/c?x=1&y\n\nbody",
        );
        let value = |name: &str| request.env.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        for (name, expected) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/fn/f"),
            ("PATH_INFO", "/a b/c"),
            ("X_RAW_PATH_INFO", "/a%20b/c"),
            ("QUERY_STRING", "x=1&y"),
            ("REQUEST_URI", "/fn/f/a%20b/c?x=1&y"),
            ("CONTENT_LENGTH", "4"),
            ("CONTENT_TYPE", "text/plain"),
            ("SERVER_NAME", "h.example"),
            ("SERVER_PORT", "8000"),
            ("REMOTE_ADDR", "::1"),
            ("HTTPS", "on"),
            ("HTTP_COOKIE", "a=1; b=2"),
            ("HTTP_X_TWO", "1, 2"),
            ("HTTP_HOST", "h.example:8000"),
        ] {
            assert_eq!(value(name), Some(expected), "{name}");
        }
        assert_eq!((value("HTTP_PROXY"), value("HTTP_CONTENT_TYPE")), (None, None));
        assert_eq!((request.args, request.stdin), (Vec::from(["x=1".to_string(), "y".to_string()]), "body".into()));
    }

    #[test]
    fn a_path_that_no_variable_can_hold_stays_encoded() {
        for (path, expected) in [("/%41%zz%", "/A%zz%"), ("/%00", "/%00"), ("/%ff", "/%ff"), ("/%C3%A9", "/é")] {
            assert_eq!(decoded(path), expected, "{path}");
        }
    }

    #[test]
    fn stdout_is_a_response_with_either_line_end() {
        let response = parsed("Content-Type: text/plain\r\nStatus: 404 Not Found\r\nX-A: 1\r\n\r\nno\n\nbody").unwrap();
        assert_eq!((response.status, &response.body[..], response.headers.len()), (404, b"no\n\nbody".as_slice(), 2));
        assert_eq!(response.header("content-type").unwrap(), "text/plain");
        assert_eq!(parsed("content-type: a/b\n\n").unwrap().status, 200);
        assert_eq!(parsed("Status: 204\n\n").unwrap().status, 204);
        assert_eq!(parsed("Location: https://a.example/\n\n").unwrap().status, 302);
        assert_eq!(parsed("Location: /a\nStatus: 307\n\n").unwrap().status, 307);
    }

    #[test]
    fn a_head_is_there_with_its_empty_line() {
        for (start, is_there) in [
            ("", false),
            ("status: 200", false),
            ("status: 200\n", false),
            ("status: 200\r\n\r", false),
            ("status: 200\r\n\r\n", true),
            ("status: 200\n\nbody", true),
            ("\n", true),
        ] {
            assert_eq!(has_head(start.as_bytes()), is_there, "{start:?}");
        }
        assert!(has_head(&[b'x'; HTTP_HEADERS_BYTES_MAX + 1]), "it is too large");
    }

    #[test]
    fn each_fault_of_stdout_has_its_error() {
        use MessageError as Fault;
        for (text, fault) in [
            ("", Fault::NoCgiHead),
            ("hello", Fault::NoCgiHead),
            ("hello\n\n", Fault::NoCgiHead),
            ("\nhello", Fault::NoCgiHead),
            ("x-a: 1\n\nhello", Fault::NoCgiHead),
            ("content-type: a/b\n", Fault::NoCgiHead),
            ("content-type: a/b\nhello\n\n", Fault::BadHeader),
            ("Status: OK\n\n", Fault::BadStatus),
            ("Status: 99\n\n", Fault::BadStatus),
            ("Status: 101 Switching Protocols\n\n", Fault::BadStatus),
            ("Status: 200\nTransfer-Encoding: chunked\n\n", Fault::ConnectionHeader),
        ] {
            assert_eq!(parsed(text), Err(fault), "{text:?}");
        }
        let endless = Bytes::from("a: b\n".repeat(HTTP_HEADERS_MAX + 1));
        assert_eq!(response(&endless), Err(Fault::TooManyHeaders));
        let large = Bytes::from(["status: 200\na: ", &"b".repeat(HTTP_HEADERS_BYTES_MAX), "\n\n"].concat());
        assert_eq!(response(&large), Err(Fault::HeadTooLarge));
    }

    proptest! {
        #[test]
        fn any_stdout_is_read_or_refused(start in "(Status: 200\r?\n)?[ -~\n]{0,60}", rest: Vec<u8>) {
            let _ = response(&Bytes::from([start.as_bytes(), &rest].concat()));
        }

        #[test]
        fn any_target_becomes_variables_without_zero_bytes(target in "/[!-~]{0,60}") {
            let request = request(&format!("GET {target}\n\n"));
            prop_assert!(request.env.iter().all(|(_, value)| !value.contains('\0')));
        }
    }
}
