//! One request and its response over one connection, which is then closed, so that no state is shared between tenants.
//! Follows no redirects and decompresses nothing: the guest gets the server's response, within bounds.

use std::{convert::Infallible, future::pending};

use bytes::Bytes;
use fusebox_core::limits::{HTTP_ANSWER_BYTES_MAX, HTTP_HEADERS_BYTES_MAX, HTTP_HEADERS_MAX};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{self, HeaderName},
};
use hyper_util::rt::TokioIo;

use super::{connect::Stream, refused::Refused, request::Outbound};

/// Sends the request and returns the response in the guest's format: `STATUS\n`, header lines, `\n`, the body.
pub(super) async fn exchange(stream: Box<dyn Stream>, request: Outbound) -> Result<Bytes, Refused> {
    let host = request.name();
    let broken = |error: hyper::Error| match error.is_parse_too_large() {
        true => Refused::TooLarge,
        false => Refused::Unreachable { host: host.clone(), reason: error.to_string() },
    };
    let mut http = http1::Builder::new();
    http.max_headers(HTTP_HEADERS_MAX).max_header_size(HTTP_HEADERS_BYTES_MAX).max_buf_size(BUFFER_BYTES_MAX);
    let (mut sender, connection) = http.handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let talk = async {
        let response = sender.send_request(message(request)).await.map_err(broken)?;
        read(response).await.map_err(|error| error.map_or(Refused::TooLarge, broken))
    };
    let drive = async {
        // An error of the connection also surfaces in `talk`.
        let _ = connection.await;
        pending::<Infallible>().await
    };
    tokio::select! {
        answer = talk => answer,
        never = drive => match never {},
    }
}

/// Size of the read buffer: the head of a response, and as much again.
const BUFFER_BYTES_MAX: usize = 2 * HTTP_HEADERS_BYTES_MAX;

fn message(outbound: Outbound) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(outbound.body));
    *request.method_mut() = outbound.method;
    *request.uri_mut() = outbound.target;
    *request.headers_mut() = outbound.headers;
    request
}

/// Reads the response; `Err(None)` if it is too large.
async fn read(response: Response<Incoming>) -> Result<Bytes, Option<hyper::Error>> {
    let (head, mut body) = response.into_parts();
    let mut answer = head_lines(head.status, &head.headers);
    while let Some(frame) = body.frame().await {
        // Trailers are dropped: the guest's format has no place for them.
        let Ok(data) = frame?.into_data() else { continue };
        if answer.len() + data.len() > HTTP_ANSWER_BYTES_MAX {
            return Err(None);
        }
        answer.extend_from_slice(&data);
    }
    Ok(answer.into())
}

/// Headers about the transfer of the body, which is complete by now.
const TRAVELLED: [HeaderName; 4] = [header::CONNECTION, header::TRAILER, header::TRANSFER_ENCODING, header::UPGRADE];

fn head_lines(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut lines = format!("{}\n", status.as_u16()).into_bytes();
    for (name, value) in headers.iter().filter(|(name, _)| !TRAVELLED.contains(name)) {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        // The HTTP parser refuses values with line breaks.
        lines.extend_from_slice(value.as_bytes());
        lines.push(b'\n');
    }
    lines.push(b'\n');
    lines
}
