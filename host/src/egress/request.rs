//! Parses a guest's request: `METHOD URL\n`, header lines `name: value\n`, `\n`, the body. The URL is parsed once, by
//! the WHATWG rules that browsers use, and the parsed form is what is matched, connected to and sent, so that no two
//! parts can read a URL differently.

use bytes::Bytes;
use fusebox_core::limits::{HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX};
use hyper::{
    HeaderMap, Method, Uri,
    header::{self, HeaderName, HeaderValue},
};
use url::{Host, Position, Url};

use super::refused::Refused;

/// Parsed request. Its host and address are still to be checked.
#[derive(Debug)]
pub(super) struct Outbound {
    pub(super) method: Method,
    pub(super) is_tls: bool,
    /// Lower-case name without a final dot, or address.
    pub(super) host: Host,
    pub(super) port: u16,
    /// Default port of the scheme.
    pub(super) scheme_port: u16,
    /// Path and query.
    pub(super) target: Uri,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Headers that control the connection, which only the host may set. With them a guest could make a server see another
/// request than the one that was checked.
const OURS: [HeaderName; 10] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];
/// Further such headers, for which the `http` crate has no constant.
const OURS_BY_NAME: [&str; 3] = ["http2-settings", "keep-alive", "proxy-connection"];

/// Without CONNECT, which opens a tunnel, and TRACE, which reveals headers; functions need neither.
const METHODS: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

const NO_HEAD: Refused = Refused::Invalid("a request is METHOD URL, header lines, an empty line, and the body");

impl Outbound {
    /// Parses a request.
    ///
    /// # Errors
    /// `Invalid` with the fault.
    pub(super) fn parse(request: &Bytes) -> Result<Self, Refused> {
        let end = request.windows(2).position(|pair| pair == b"\n\n").ok_or(NO_HEAD)?;
        if end > HTTP_HEADERS_BYTES_MAX {
            return Err(Refused::Invalid("the request's head is too large"));
        }
        let head = request.get(..end).ok_or(NO_HEAD)?;
        let mut lines = head.split(|byte| *byte == b'\n');
        let line = lines.next().and_then(|line| std::str::from_utf8(line).ok()).ok_or(NO_HEAD)?;
        let (method, url) = line.split_once(' ').ok_or(NO_HEAD)?;
        let method = METHODS.into_iter().find(|known| known.as_str() == method);
        let method =
            method.ok_or(Refused::Invalid("the method is not GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"))?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = header_line(line)?;
            if headers.len() >= HTTP_HEADERS_MAX {
                return Err(Refused::Invalid("the request has too many headers"));
            }
            headers.append(name, value);
        }
        let url = parsed(url)?;
        let is_tls = url.scheme() == "https";
        let scheme_port = if is_tls { 443 } else { 80 };
        let port = url.port().unwrap_or(scheme_port);
        let host = host(&url)?;
        let authority = HeaderValue::try_from(place(&host, port, scheme_port));
        headers.insert(header::HOST, authority.map_err(|_| NO_HOST)?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
        let target = url[Position::BeforePath..Position::AfterQuery].parse();
        let target = target.map_err(|_| Refused::Invalid("the URL's path is invalid"))?;
        let body = request.slice(end + 2..);
        Ok(Self { method, is_tls, host, port, scheme_port, target, headers, body })
    }

    /// Returns the host in the form of grants and messages.
    pub(super) fn name(&self) -> String {
        self.host.to_string()
    }

    /// Returns the host, with its port unless it is the scheme's default: the text of a grant for it.
    pub(super) fn place(&self) -> String {
        place(&self.host, self.port, self.scheme_port)
    }
}

const NO_HOST: Refused = Refused::Invalid("the URL's host is invalid");

/// Default `User-Agent`.
const AGENT: &str = concat!("fusebox/", env!("CARGO_PKG_VERSION"));

fn header_line(line: &[u8]) -> Result<(HeaderName, HeaderValue), Refused> {
    const NO_HEADER: Refused = Refused::Invalid("a header is a line such as `accept: text/plain`");
    let colon = line.iter().position(|byte| *byte == b':').ok_or(NO_HEADER)?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name).map_err(|_| NO_HEADER)?;
    // `HeaderValue` refuses control characters, so a value cannot start another line.
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let value = HeaderValue::from_bytes(value).map_err(|_| NO_HEADER)?;
    if OURS.contains(&name) || OURS_BY_NAME.contains(&name.as_str()) {
        return Err(Refused::Invalid("Host, Content-Length and connection headers are set by the host"));
    }
    Ok((name, value))
}

fn parsed(text: &str) -> Result<Url, Refused> {
    // The URL parser accepts these, and its result would differ from what people read.
    if text.bytes().any(|byte| byte <= b' ' || byte == b'\\' || byte == 0x7f) {
        return Err(Refused::Invalid("the URL has spaces, control characters or backslashes: percent-encode them"));
    }
    let url = Url::parse(text).map_err(|_| Refused::Invalid("the URL is invalid: write https://HOST/PATH"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Refused::Invalid("the URL is neither http:// nor https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::Invalid("the URL has a user or a password: send an Authorization header"));
    }
    if url.port() == Some(0) {
        return Err(Refused::Invalid("port 0 is not valid"));
    }
    Ok(url)
}

/// Returns the URL's host. The parser has lower-cased it and has recognized addresses in any notation.
fn host(url: &Url) -> Result<Host, Refused> {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let is_label = |label: &str| {
                (1..=63).contains(&label.len())
                    && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            };
            if name.len() > 253 || !name.split('.').all(is_label) {
                return Err(NO_HOST);
            }
            Ok(Host::Domain(name.to_owned()))
        }
        Some(Host::Ipv4(address)) => Ok(Host::Ipv4(address)),
        Some(Host::Ipv6(address)) => Ok(Host::Ipv6(address)),
        None => Err(NO_HOST),
    }
}

fn place(host: &Host, port: u16, scheme_port: u16) -> String {
    if port == scheme_port { host.to_string() } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests;
