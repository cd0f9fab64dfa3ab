//! Parts of a `multipart/form-data` body, as RFC 7578 has them.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use fusebox_core::error::ErrorCode;

use crate::rest::error::Problem;

/// Number of parts: a module, files, and every argument and variable that a version may have.
const PARTS_MAX: usize = 512;
/// Size of the headers of a part.
const HEAD_BYTES_MAX: usize = 4 << 10;

/// Part of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Name of the field.
    pub(super) name: String,
    /// Content, a part of the body's own bytes.
    pub(super) content: Bytes,
}

/// Returns the boundary of a form; `None` if the body is none.
///
/// # Errors
/// `InvalidRequest` if the boundary is missing.
pub(super) fn boundary(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut words = kind.split(';').map(str::trim);
    if !words.next().is_some_and(|kind| kind.eq_ignore_ascii_case("multipart/form-data")) {
        return Ok(None);
    }
    let boundary = words.find_map(|word| word.strip_prefix("boundary=")).map(|word| word.trim_matches('"'));
    match boundary.filter(|boundary| (1..=70).contains(&boundary.len())) {
        Some(boundary) => Ok(Some(boundary.to_owned())),
        None => Err(malformed("its Content-Type has no boundary")),
    }
}

/// Splits a body into its parts.
///
/// # Errors
/// `InvalidRequest` if it is malformed.
pub(super) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, Problem> {
    let first = format!("--{boundary}");
    let between = format!("\r\n--{boundary}");
    let mut at = match body.starts_with(first.as_bytes()) {
        true => first.len(),
        // Text before the first boundary is ignored.
        false => find(body, 0, between.as_bytes()).ok_or_else(|| malformed("it has no boundary"))? + between.len(),
    };
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        if !rest.starts_with(b"\r\n") || parts.len() == PARTS_MAX {
            return Err(malformed("a boundary is followed by something else than a line, or there are too many parts"));
        }
        let head = at;
        let end = find(body, head, b"\r\n\r\n").filter(|end| end - head <= HEAD_BYTES_MAX);
        let end = end.ok_or_else(|| malformed("the headers of a part do not end"))?;
        let name = name(body.get(head..end).unwrap_or_default())?;
        let start = end + 4;
        let stop = find(body, start, between.as_bytes()).ok_or_else(|| malformed("it ends within a part"))?;
        parts.push(Part { name, content: body.slice(start..stop) });
        at = stop + between.len();
    }
}

/// Returns the field's name from the headers of a part.
fn name(head: &[u8]) -> Result<String, Problem> {
    let unnamed = || malformed("a part has no name");
    let head = str::from_utf8(head).map_err(|_| unnamed())?;
    let lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, disposition) = lines
        .into_iter()
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        .ok_or_else(unnamed)?;
    let named = disposition.split(';').find_map(|word| word.trim().strip_prefix("name="));
    named.map(|name| name.trim_matches('"').to_owned()).filter(|name| !name.is_empty()).ok_or_else(unnamed)
}

fn find(body: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut at = from;
    loop {
        at += body.get(at..)?.iter().position(|byte| *byte == first)?;
        if body.get(at..)?.starts_with(what) {
            return Some(at);
        }
        at += 1;
    }
}

fn malformed(reason: &str) -> Problem {
    Problem::new(ErrorCode::InvalidRequest, format!("the body is not a valid multipart form: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, ErrorCode> {
        let parts = parts(&Bytes::copy_from_slice(body.as_bytes()), "b").map_err(|problem| problem.code())?;
        Ok(parts.into_iter().map(|part| (part.name, String::from_utf8(part.content.to_vec()).unwrap())).collect())
    }

    #[test]
    fn each_part_has_its_name_and_content() {
        let one =
            "\r\nContent-Type: application/wasm\r\ncontent-disposition: form-data; name=\"a\"; filename=\"x\"\r\n\r\n";
        let body = format!("--b{one}1\r\n\r\n--c\r\n--b{one}\r\n--b--\r\n");
        let expected = [("a".to_owned(), "1\r\n\r\n--c".to_owned()), ("a".to_owned(), String::new())];
        assert_eq!(read(&body).unwrap(), expected);
        assert_eq!(read(&format!("ignored\r\n{body}")).unwrap(), expected);
        assert_eq!(read("--b--").unwrap(), []);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        let head = "\r\nContent-Disposition: form-data; name=a\r\n\r\n";
        for body in [
            String::new(),
            "--b".to_owned(),
            "--bx".to_owned(),
            format!("--b{head}1"),
            "--b\r\nContent-Disposition: form-data\r\n\r\n\r\n--b--".to_owned(),
            format!("--b\r\n{}{head}\r\n--b--", "x".repeat(HEAD_BYTES_MAX)),
            format!("--b{}--", format!("{head}1\r\n--b").repeat(PARTS_MAX + 1)),
        ] {
            assert_eq!(read(&body).unwrap_err(), ErrorCode::InvalidRequest, "{:?}", body.get(..60));
        }
    }

    #[test]
    fn the_boundary_is_in_the_content_type() {
        let of = |value: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]);
            boundary(&headers).map_err(|problem| problem.code())
        };
        assert_eq!(of("application/wasm"), Ok(None));
        assert_eq!(of("Multipart/Form-Data; charset=utf-8; boundary=\"x y\""), Ok(Some("x y".to_owned())));
        assert_eq!(of("multipart/form-data"), Err(ErrorCode::InvalidRequest));
    }
}
