//! Bodies with a bound on size and time, and what is read from them. A body that declares more than its bound is refused
//! before a byte of it is read.

use std::time::Duration;

use axum::{
    extract::{FromRequest, Request},
    http::header,
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bytes::Bytes;
use fusebox_core::{error::ErrorCode, limits};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::Problem;

/// A whole body must arrive within this time: 24 MiB at 1 MiB/s, and no slower.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Padding may be left out, as some encoders do.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A module's wasm bytes.
pub struct ModuleBody(pub Bytes);
/// A function's input.
pub struct InputBody(pub Bytes);
/// A JSON body of a seed route.
pub struct SeedJson<T>(pub T);

impl<S: Send + Sync> FromRequest<S> for ModuleBody {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read(request, limits::MODULE_BYTES_MAX, "a module").await.map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for InputBody {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        read(request, limits::INPUT_BYTES_MAX, "an input").await.map(Self)
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for SeedJson<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let body = read(request, limits::SEED_BODY_BYTES_MAX, "this body").await?;
        serde_json::from_slice(&body).map(Self).map_err(|error| {
            let detail = format!("the body is not the JSON object that is expected: {error}");
            Problem::new(ErrorCode::UnprocessableRequest, detail)
        })
    }
}

async fn read(request: Request, bytes_max: u64, what: &str) -> Result<Bytes, Problem> {
    let too_large = || {
        let detail = format!("{what} has at most {bytes_max} bytes");
        Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_bytes", bytes_max)
    };
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if declared.is_some_and(|declared: u64| declared > bytes_max) {
        return Err(too_large());
    }
    let bound = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let whole = Limited::new(request.into_body(), bound).collect();
    match tokio::time::timeout(BODY_TIMEOUT, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::new(ErrorCode::InvalidRequest, "the body did not arrive whole")),
        Err(_) => Err(Problem::new(ErrorCode::RequestTimeout, "the body did not arrive within 30 seconds")),
    }
}

/// Bytes as base64 text, without line breaks.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// The bytes of base64 text, which may have white space anywhere: MIME encoders break lines every 76 characters.
///
/// # Errors
/// Where it is not base64; the problem names the field.
pub fn from_base64(field: &str, text: &str) -> Result<Bytes, Problem> {
    let decoded = if text.bytes().any(|byte| byte.is_ascii_whitespace()) {
        let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        LENIENT.decode(compact)
    } else {
        LENIENT.decode(text)
    };
    decoded.map(Bytes::from).map_err(|error| {
        Problem::new(ErrorCode::InvalidBase64, format!("{field} is not base64: {error}")).with("field", field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read_with_line_breaks_and_without_padding() {
        for text in ["AGFzbQEAAAA=", "AGFz\nbQEA\r\nAAA=\n", "AGFzbQEAAAA"] {
            assert_eq!(&from_base64("payload", text).unwrap()[..], b"\0asm\x01\0\0\0", "{text:?}");
        }
        let problem = from_base64("payload", "*").unwrap_err();
        assert_eq!(problem.code(), ErrorCode::InvalidBase64);
    }
}
