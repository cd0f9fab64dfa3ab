//! Requests that a guest sends through `wasi:http`: collected whole, within the bounds of a host call, and sent as one.

use bytes::{BufMut as _, Bytes, BytesMut};
use fusebox_core::{
    capability::{HostAnswer, HttpRequest, Refusal},
    limits::HTTP_REQUEST_BYTES_MAX,
};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, Response, StatusCode, header};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use super::desk::Desk;
use crate::metered::{OUTSIDE, copied};

/// Size of one write to a body, which the host buffers.
const CHUNK_BYTES: usize = 64 << 10;

/// Answers of the host to questions of `wasi:http`.
pub(in crate::component) struct Hooks {
    pub(in crate::component) desk: Desk,
    /// Whether the function was granted requests to any host.
    pub(in crate::component) is_granted: bool,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Io), Error>> + Send> {
        if !self.is_granted {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        }
        let desk = self.desk.clone();
        desk.owe(OUTSIDE);
        Box::new(async move {
            let response = send(&desk, request).await?;
            let io: Io = Box::new(async { Ok(()) });
            Ok((response, io))
        })
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

async fn send(desk: &Desk, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
    let (mut parts, mut body) = request.into_parts();
    // The sender sets it from the URL.
    parts.headers.remove(header::HOST);
    let mut message = head(&format!("{} {}", parts.method, parts.uri), &parts.headers);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if message.len() + data.len() > HTTP_REQUEST_BYTES_MAX {
            return Err(Error::HttpRequestBodySize(None));
        }
        message.extend_from_slice(&data);
    }
    desk.owe(copied(u32::try_from(message.len()).unwrap_or(u32::MAX)));
    let request = HttpRequest::try_from(message.freeze()).map_err(refused)?;
    let HostAnswer::Http(answer) = desk.ask(request).await.map_err(refused)? else {
        return Err(Error::InternalError(None));
    };
    desk.owe(copied(u32::try_from(answer.len()).unwrap_or(u32::MAX)));
    response(&answer).ok_or(Error::HttpProtocolError)
}

/// Encodes the head of a request to another host.
fn head(first: &str, headers: &HeaderMap) -> BytesMut {
    let mut message = BytesMut::with_capacity(256);
    message.put_slice(first.as_bytes());
    message.put_u8(b'\n');
    for (name, value) in headers {
        message.put_slice(name.as_str().as_bytes());
        message.put_slice(b": ");
        message.put_slice(value.as_bytes());
        message.put_u8(b'\n');
    }
    message.put_u8(b'\n');
    message
}

/// Decodes the response of another host: `STATUS\n`, header lines, `\n`, body.
fn response(answer: &Bytes) -> Option<Response<WasiBody>> {
    let end = answer.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = answer.get(..end)?.split(|byte| *byte == b'\n');
    let mut response = Response::new(whole(answer.slice(end + 2..)));
    *response.status_mut() = StatusCode::from_bytes(lines.next()?).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = header::HeaderName::from_bytes(line.get(..colon)?).ok()?;
        let value = header::HeaderValue::from_bytes(line.get(colon + 1..)?.trim_ascii()).ok()?;
        response.headers_mut().append(name, value);
    }
    Some(response)
}

/// Returns a body of bytes that are there.
pub(super) fn whole(bytes: Bytes) -> WasiBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Refused => Error::HttpRequestDenied,
        Refusal::TooLarge => Error::HttpResponseBodySize(None),
        Refusal::Quota => Error::ConnectionLimitReached,
        Refusal::TimedOut => Error::ConnectionTimeout,
        Refusal::Invalid => Error::HttpRequestUriInvalid,
        Refusal::Absent | Refusal::Conflict | Refusal::Unavailable => Error::DestinationUnavailable,
    }
}
