//! Extractors of request bodies, bounded in size, pace and in memory used by all of them together. A body whose
//! declared length exceeds its bound is refused before any of it is read.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody as _},
    extract::{FromRequest, Request},
    http::{HeaderMap, header},
};
use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use bytes::Bytes;
use fusebox_core::{error::ErrorCode, id::ModuleDigest, limits};
use fusebox_sandbox::RequestBody;
use serde::de::DeserializeOwned;

use self::arrival::{Arrival, PACE, Unread};
use super::{App, Shared, error::Problem, room::Share};
use crate::{tenancy::Caller, text};

mod arrival;
mod decode;
mod form;
mod module;
mod registration;
mod spool;

use self::module::ModuleBody;
pub use self::registration::{Registered, RegistrationBody};

/// Accepts base64 without padding, which some encoders omit.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Pause of a sender after which a function reads what has come of a body of unstated length: far above the pauses of a
/// client that sends as fast as it can.
const PAUSE: Duration = Duration::from_millis(100);

/// Input of a function.
pub struct InputBody(pub Bytes, pub Option<Share>);
/// JSON body of a route of the Python platform.
pub struct SeedJson<T>(pub T, pub Option<Share>);
/// JSON body of at most [`limits::SMALL_BODY_BYTES`].
pub struct SmallJson<T>(pub T);
/// Configuration value or secret.
pub struct SettingBody(pub Bytes);
/// Batch, as an array or as lines.
pub struct BatchBody(pub Bytes, pub Option<Share>);

impl FromRequest<Shared> for InputBody {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (body, room) = read(request, app, limits::INPUT_BYTES_MAX, "an input").await?;
        Ok(Self(body, room))
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for SeedJson<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (body, room) = read(request, app, limits::SEED_BODY_BYTES_MAX, "this body").await?;
        Ok(Self(from_json(&body)?, room))
    }
}

impl<T: DeserializeOwned> FromRequest<Shared> for SmallJson<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (body, _) = read(request, app, limits::SMALL_BODY_BYTES, "this body").await?;
        Ok(Self(from_json(&body)?))
    }
}

impl FromRequest<Shared> for SettingBody {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (body, _) = read(request, app, limits::SETTING_VALUE_BYTES_MAX as u64, "a value").await?;
        Ok(Self(body))
    }
}

impl FromRequest<Shared> for BatchBody {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &Shared) -> Result<Self, Problem> {
        let (body, room) = read(request, app, limits::BATCH_BODY_BYTES_MAX, "a batch").await?;
        Ok(Self(body, room))
    }
}

fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let refused = |error: &str| {
        let detail = format!("the body is not the expected JSON object: {error}");
        Problem::new(ErrorCode::UnprocessableRequest, detail)
    };
    let body = unmarked(body)?;
    // serde would accept an array for a struct, item by item.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(refused("it is an array"));
    }
    serde_json::from_slice(body).map_err(|error| refused(&error.to_string()))
}

/// Strips the byte order mark that some editors write.
///
/// # Errors
/// `UnprocessableRequest` for UTF-16.
pub(super) fn unmarked(body: &[u8]) -> Result<&[u8], Problem> {
    let refused = |error| Problem::new(ErrorCode::UnprocessableRequest, format!("the body cannot be read: {error}"));
    text::unmarked_json(body).map_err(refused)
}

/// Returns the caller that the guard attached to the request.
fn caller(request: &Request) -> Result<Caller, Problem> {
    let unknown = || Problem::new(ErrorCode::Internal, "the request has no caller");
    request.extensions().get().cloned().ok_or_else(unknown)
}

/// Memory reserved for a body as it arrives: bytes that were announced but not sent reserve nothing.
struct InRoom<'a> {
    app: &'a App,
    caller: Caller,
    share: Option<Share>,
}

impl InRoom<'_> {
    /// Extends the reservation to `bytes` in all, rounded up to steps; small bodies need none.
    fn holds(&mut self, bytes: u64) -> Result<(), Problem> {
        if bytes <= limits::SMALL_BODY_BYTES {
            return Ok(());
        }
        let much = bytes.next_multiple_of(limits::SMALL_BODY_BYTES);
        match &mut self.share {
            Some(share) if share.much() >= much => {}
            Some(share) => share.grow(much - share.much())?,
            None => self.share = Some(self.app.room.body(&self.caller, much)?),
        }
        Ok(())
    }
}

fn too_large(bytes_max: u64, what: &str) -> Problem {
    let detail = format!("{what} has at most {bytes_max} bytes");
    Problem::new(ErrorCode::PayloadTooLarge, detail).with("max_bytes", bytes_max)
}

/// Reads a body that must not be compressed.
async fn read(request: Request, app: &App, bytes_max: u64, what: &str) -> Result<(Bytes, Option<Share>), Problem> {
    decode::refuse(request.headers())?;
    receive(request, app, bytes_max, what).await
}

/// Body of a request to a function.
pub(super) enum EndpointBody {
    /// Bytes that are all here.
    Whole(Bytes, Option<Share>),
    /// Body that the function reads as it arrives.
    Arriving(RequestBody),
}

/// Reads the body of a request to a function, whatever its encoding: whole, without trailers, or, if it is not small and
/// runs of `module` read it as it arrives, its start, so that a sender of little holds no slot. Trailers are passed on as
/// `passing` returns them.
pub(super) async fn of_endpoint(
    request: Request,
    app: &App,
    module: Option<ModuleDigest>,
    passing: fn(HeaderMap) -> HeaderMap,
) -> Result<EndpointBody, Problem> {
    const WHAT: &str = "the body of a request to a function";
    let is_small = declared(&request).is_some_and(|declared| declared <= limits::SMALL_BODY_BYTES);
    let arrives = match module {
        Some(module) if !is_small => app.invoker.streams(module).await,
        _ => false,
    };
    if !arrives {
        let (body, room) = receive(request, app, limits::INPUT_BYTES_MAX, WHAT).await?;
        return Ok(EndpointBody::Whole(body, room));
    }
    let (caller, bytes_max) = (caller(&request)?, limits::STREAMED_BYTES_MAX);
    let (declared, body) = announced(request, bytes_max, WHAT).await?;
    let mut arrival = Arrival::new(body, bytes_max, PACE);
    // A client that states no length may wait for an answer before it goes on.
    let pause = if declared.is_some() { Duration::MAX } else { PAUSE };
    match arrival.start(limits::SMALL_BODY_BYTES, pause).await {
        Ok((start, is_whole)) => {
            app.gate.confirm(&caller).await?;
            // A body that is kept whole counts as small.
            Ok(match is_whole && start.len() as u64 <= limits::SMALL_BODY_BYTES {
                true => EndpointBody::Whole(start, None),
                false => EndpointBody::Arriving(arrival.into_body(start, passing)),
            })
        }
        Err(unread) => Err(refuse_unread(unread, &mut arrival.into_rest(), bytes_max, WHAT).await),
    }
}

async fn receive(request: Request, app: &App, bytes_max: u64, what: &str) -> Result<(Bytes, Option<Share>), Problem> {
    let mut room = InRoom { app, caller: caller(&request)?, share: None };
    let (declared, mut body) = announced(request, bytes_max, what).await?;
    match Arrival::new(&mut body, bytes_max, PACE).whole(declared, |bytes| room.holds(bytes)).await {
        Ok(body) => {
            // The body may have taken long, and the caller's key may have ended meanwhile.
            app.gate.confirm(&room.caller).await?;
            Ok((body, room.share))
        }
        Err(unread) => {
            drop(room);
            Err(refuse_unread(unread, &mut body, bytes_max, what).await)
        }
    }
}

/// Returns the declared length of the body.
fn declared(request: &Request) -> Option<u64> {
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.or_else(|| request.body().size_hint().exact())
}

/// Returns the body and its declared length.
///
/// # Errors
/// `PayloadTooLarge` if that is above the bound.
async fn announced(request: Request, bytes_max: u64, what: &str) -> Result<(Option<u64>, Body), Problem> {
    let declared = declared(&request);
    let (head, mut body) = request.into_parts();
    if declared.is_some_and(|declared| declared > bytes_max) {
        // A client that sent `Expect: 100-continue` has not sent the body yet.
        if !head.headers.contains_key(header::EXPECT) {
            arrival::linger(&mut body, bytes_max).await;
        }
        return Err(too_large(bytes_max, what));
    }
    Ok((declared, body))
}

/// Returns the problem of a body that was not read to its end.
async fn refuse_unread(unread: Unread, body: &mut Body, bytes_max: u64, what: &str) -> Problem {
    match unread {
        Unread::TooLarge => {
            arrival::linger(body, bytes_max).await;
            too_large(bytes_max, what)
        }
        Unread::NoRoom(refusal) => {
            arrival::linger(body, bytes_max).await;
            refusal
        }
        Unread::Broken => Problem::new(ErrorCode::InvalidRequest, "the body is incomplete"),
        Unread::TooSlow => {
            let detail = format!(
                "the body came too slowly: after {} s it must average {} KiB/s, with pauses of at most {} s",
                PACE.grace.as_secs(),
                PACE.bytes_per_second >> 10,
                PACE.stall.as_secs()
            );
            Problem::new(ErrorCode::RequestTimeout, detail)
        }
    }
}

/// Encodes bytes as base64 without line breaks.
#[must_use]
pub fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes base64. White space is allowed anywhere, since MIME encoders break lines every 76 characters.
///
/// # Errors
/// `InvalidBase64` with the name of the field.
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
