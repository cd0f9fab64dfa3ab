//! HTTP requests of a plug-in: a block with `url`, `method` and `headers` as JSON, another with the body, and the
//! response's body in a third. They are made like those of other guests, to granted hosts only.

use bytes::{BufMut as _, Bytes, BytesMut};
use fusebox_core::{
    capability::{Capability, HostAnswer, HostCall, HttpRequest},
    limits::HTTP_HEADERS_BYTES_MAX,
};
use serde_json::{Map, Value};
use wasmtime::{Caller, Error, Result};

use super::calls::{answered, has, refused, taken};
use crate::host::Host;

pub(super) fn request(caller: &mut Caller<'_, Host>, request: u64, body: u64) -> Result<u64> {
    let head = taken(caller, "http_request", request)?;
    let body = if body == 0 { Bytes::new() } else { taken(caller, "http_request", body)? };
    let plugin = &mut caller.data_mut().plugin;
    (plugin.status, plugin.headers) = (0, None);
    if !has(caller, Capability::Http) {
        return Err(Error::msg("http_request: the function needs a grant, as by --grant http=HOST"));
    }
    let Some(request) = text(&head, &body) else {
        let message = "http_request: the request is no JSON object of url, method and headers, with text on one line";
        return Err(Error::msg(message));
    };
    let call =
        HttpRequest::try_from(request).map(HostCall::Http).map_err(|refusal| refused("http_request", refusal))?;
    let answer = caller.data().ask(call)?.map_err(|refusal| refused("http_request", refusal))?;
    let HostAnswer::Http(answer) = answer else { return Ok(0) };
    let Some((status, headers, body)) = parts(&answer) else { return Ok(0) };
    let plugin = &mut caller.data_mut().plugin;
    (plugin.status, plugin.headers) = (status, Some(headers));
    answered(caller, body)
}

pub(super) fn status_code(caller: &mut Caller<'_, Host>) -> Result<u32> {
    Ok(caller.data().plugin.status)
}

/// Returns the headers of the last response as a JSON object; 0 if there was none.
pub(super) fn headers(caller: &mut Caller<'_, Host>) -> Result<u64> {
    match caller.data_mut().plugin.headers.clone() {
        Some(headers) => answered(caller, headers.as_bytes()),
        None => Ok(0),
    }
}

/// Returns a request in the form of [`HttpRequest`]; `None` if the plug-in's is malformed, or has a control character
/// in its head, which could start a line.
fn text(head: &[u8], body: &[u8]) -> Option<Bytes> {
    if head.len() > HTTP_HEADERS_BYTES_MAX {
        return None;
    }
    let Value::Object(head) = serde_json::from_slice(head).ok()? else { return None };
    let no_headers = Map::new();
    let headers = match head.get("headers").or_else(|| head.get("header")) {
        None | Some(Value::Null) => &no_headers,
        Some(headers) => headers.as_object()?,
    };
    let method = match head.get("method") {
        None | Some(Value::Null) => "GET",
        Some(method) => method.as_str()?,
    };
    let mut request = BytesMut::new();
    let mut put = |parts: [&str; 3]| {
        let is_line = parts.iter().all(|part| !part.contains(char::is_control));
        is_line.then(|| parts.iter().for_each(|part| request.put_slice(part.as_bytes())))?;
        request.put_u8(b'\n');
        Some(())
    };
    put([&method.to_uppercase(), " ", head.get("url")?.as_str()?])?;
    for (name, value) in headers {
        put([name, ": ", value.as_str()?])?;
    }
    request.put_u8(b'\n');
    request.put_slice(body);
    Some(request.freeze())
}

/// Splits a response into its status, its headers as a JSON object, and its body.
fn parts(answer: &[u8]) -> Option<(u32, String, &[u8])> {
    let end = answer.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = answer[..end].split(|byte| *byte == b'\n').map(String::from_utf8_lossy);
    let status = lines.next()?.parse().ok()?;
    let mut headers = Map::new();
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap_or((&line, ""));
        headers.insert(name.to_owned(), Value::from(value));
    }
    Some((status, Value::Object(headers).to_string(), &answer[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_becomes_lines_and_none_can_be_smuggled_in() {
        let made = |head: &str| text(head.as_bytes(), b"body").map(|made| String::from_utf8(made.to_vec()).unwrap());
        let full = r#"{"url": "https://a.b/c", "method": "post", "headers": {"x": "1"}}"#;
        assert_eq!(made(full).as_deref(), Some("POST https://a.b/c\nx: 1\n\nbody"));
        assert_eq!(made(r#"{"url": "https://a.b"}"#).as_deref(), Some("GET https://a.b\n\nbody"));
        for bad in [
            "",
            "[]",
            "{}",
            r#"{"url": 7}"#,
            r#"{"url": "https://a.b\nhost: c"}"#,
            r#"{"url": "https://a.b", "method": "GET\n"}"#,
            r#"{"url": "https://a.b", "headers": {"x": "1\r\ny: 2"}}"#,
            r#"{"url": "https://a.b", "headers": {"x\n": "1"}}"#,
            r#"{"url": "https://a.b", "headers": {"x": 1}}"#,
        ] {
            assert_eq!(made(bad), None, "{bad}");
        }
        assert_eq!(made(&format!("{{\"url\": \"{}\"}}", "a".repeat(HTTP_HEADERS_BYTES_MAX))), None);
        assert_eq!(made(&"[".repeat(30_000)), None);
    }

    #[test]
    fn a_response_is_split() {
        let (status, headers, body) = parts(b"404\nage: 1\nx: a: b\n\nnot\n\nfound").unwrap();
        assert_eq!((status, headers.as_str(), body), (404, r#"{"age":"1","x":"a: b"}"#, &b"not\n\nfound"[..]));
        assert_eq!(parts(b"200\n\n").unwrap(), (200, "{}".to_owned(), &b""[..]));
        assert_eq!(parts(b"200\n"), None);
    }
}
