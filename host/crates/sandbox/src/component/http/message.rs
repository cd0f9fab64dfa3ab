//! HTTP messages in the forms of the engine and of `core::http`.

use bytes::Bytes;
use fusebox_core::http::{self, Header, MessageError};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Uri,
    header::{HOST, HeaderName, HeaderValue, TRAILER},
};

/// Lowest and highest status of a final response.
const STATUSES: std::ops::RangeInclusive<u16> = 200..=599;

/// Decodes a request. The authority of its URI is the `host` header, or `localhost`.
pub(super) fn request(message: &Bytes) -> Result<Request<Bytes>, MessageError> {
    let http::Request { method, target, headers, body } = http::Request::parse(message)?;
    let headers = map(headers)?;
    let authority = headers.get(HOST).map_or(Ok("localhost"), |host| host.to_str());
    let authority = authority.map_err(|_| MessageError::BadHeader)?;
    let uri = Uri::builder().scheme("http").authority(authority).path_and_query(target).build();
    let mut request = Request::new(body);
    *request.uri_mut() = uri.map_err(|_| MessageError::BadTarget)?;
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| MessageError::BadMethod)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Returns the head of a response. Headers of the connection are left out; the names of trailers that the function
/// announces become trailers without values.
pub(super) fn head(status: StatusCode, headers: &HeaderMap) -> Result<http::Response, MessageError> {
    let status = Some(status.as_u16()).filter(|status| STATUSES.contains(status)).ok_or(MessageError::BadStatus)?;
    let announced = headers.get_all(TRAILER).into_iter().filter_map(|names| names.to_str().ok());
    let trailers = announced.flat_map(|names| names.split(',')).filter_map(|name| Header::new(name.trim(), "").ok());
    let trailers = trailers.filter(|trailer| !trailer.is_of_connection()).collect();
    Ok(http::Response { status, headers: list(headers)?, body: Bytes::new(), trailers })
}

/// Returns the headers of a message, without those of the connection.
pub(super) fn list(headers: &HeaderMap) -> Result<Vec<Header>, MessageError> {
    let headers =
        headers.iter().map(|(name, value)| Header::new(name.as_str(), Bytes::copy_from_slice(value.as_bytes())));
    let headers: Vec<Header> = headers.collect::<Result<_, _>>()?;
    Ok(headers.into_iter().filter(|header| !header.is_of_connection()).collect())
}

/// Returns headers as the engine has them.
fn map(headers: Vec<Header>) -> Result<HeaderMap, MessageError> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for Header { name, value } in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| MessageError::BadHeader)?;
        map.append(name, HeaderValue::from_maybe_shared(value).map_err(|_| MessageError::BadHeader)?);
    }
    Ok(map)
}
