//! Parses a guest's request: `METHOD URL\n`, header lines `name: value\n`, `\n`, the body. The URL is parsed once, by
//! the WHATWG rules that browsers use, and the parsed form is what is matched, connected to and sent, so that no two
//! parts can read a URL differently.

use bytes::Bytes;
use fusebox_core::http::{Header, METHODS, MessageError, Parts};
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

/// Headers that the host sets, beside those of the connection.
const OURS: [HeaderName; 2] = [header::CONTENT_LENGTH, header::HOST];

const NO_HEAD: Refused = Refused::Invalid("a request is METHOD URL, header lines, an empty line, and the body");

impl Outbound {
    /// Parses a request.
    ///
    /// # Errors
    /// `Invalid` with the fault.
    pub(super) fn parse(request: &Bytes) -> Result<Self, Refused> {
        let Parts { first, headers: lines, body } = Parts::parse(request)?;
        let (method, url) = first.split_once(' ').ok_or(NO_HEAD)?;
        let method = METHODS.contains(&method).then(|| method.parse().ok()).flatten();
        let method = method.ok_or(MessageError::BadMethod)?;
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = header(line)?;
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

fn header(line: Header) -> Result<(HeaderName, HeaderValue), Refused> {
    let name = line.name.parse().map_err(|_| MessageError::BadHeader)?;
    let value = HeaderValue::from_maybe_shared(line.value).map_err(|_| MessageError::BadHeader)?;
    match OURS.contains(&name) {
        true => Err(Refused::Invalid("Host and Content-Length are set by the host")),
        false => Ok((name, value)),
    }
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
