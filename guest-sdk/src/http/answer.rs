//! Conversion of a function's return value to a response.

use crate::{IntoError, glue::Reply, http::Response};

/// Return type of a function that answers HTTP. `Kind` is that of the error (see [`IntoError`]), or `()` without one;
/// it is always inferred.
#[diagnostic::on_unimplemented(
    message = "a function that answers HTTP cannot return `{Self}`",
    label = "not a response",
    note = "it returns `fusebox_guest::http::Response`, `String`, `&str`, `Vec<u8>`, `&[u8]` or `()`, or a `Result` of one \
            of them and an error",
    note = "with the feature `json` it also returns `Json<T>`, where `T` implements `serde::Serialize`"
)]
pub trait IntoResponse<Kind> {
    /// Returns the response, or the error for which the run fails, as bytes.
    fn into_response(self) -> Result<Response, Vec<u8>>;
}

impl IntoResponse<()> for Response {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(self)
    }
}

/// Status 204, without a body.
impl IntoResponse<()> for () {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(Response::new(204))
    }
}

/// Status 200 and plain text.
impl IntoResponse<()> for &str {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(Response::new(200).with_text(self))
    }
}

/// Status 200 and plain text.
impl IntoResponse<()> for String {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(Response::new(200).with_text(self))
    }
}

/// Status 200 and bytes.
impl IntoResponse<()> for &[u8] {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(Response::new(200).with_body(self).with_header("content-type", "application/octet-stream"))
    }
}

/// Status 200 and bytes.
impl IntoResponse<()> for Vec<u8> {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        self.as_slice().into_response()
    }
}

/// Status 200 and JSON.
#[cfg(feature = "json")]
impl<T: serde::Serialize> IntoResponse<()> for crate::Json<T> {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        Ok(Response::new(200).with_json(&self.0))
    }
}

/// The run fails with the error.
impl<T: IntoResponse<()>, E: IntoError<Kind>, Kind> IntoResponse<Kind> for Result<T, E> {
    fn into_response(self) -> Result<Response, Vec<u8>> {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => Err(error.into_error()),
        }
    }
}

/// Converts the return value of a function to the host's format.
pub(crate) fn reply<T: IntoResponse<Kind>, Kind>(value: T) -> Reply {
    value.into_response()?.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_responses_of_their_type() {
        let text = |reply: Reply| String::from_utf8(reply.unwrap()).unwrap();
        assert_eq!(text(reply("so")), "200\ncontent-type: text/plain; charset=utf-8\n\nso");
        assert_eq!(text(reply(b"so".to_vec())), "200\ncontent-type: application/octet-stream\n\nso");
        assert_eq!(text(reply(())), "204\n\n");
        assert_eq!(text(reply(Ok::<_, String>(Response::new(302)))), "302\n\n");
        assert_eq!(reply(Err::<(), _>("no")), Err(b"no".to_vec()));
        assert!(reply(Response::new(200).with_header("a", "\n")).is_err());
    }
}
