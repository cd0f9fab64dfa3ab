//! A test double of the slots.

use async_trait::async_trait;
use axum::http::{HeaderName, HeaderValue};
use bytes::Bytes;
use fusebox::invoke::{InvokeError, Invoker};
use fusebox_core::{
    error::ErrorCode,
    function::FunctionVersion,
    http::{Header, Response},
    id::ModuleDigest,
    outcome::{Ended, Failure, Receipt},
    setup::Start,
};
use fusebox_sandbox::{Exchange, Piece};
use http_body_util::{BodyExt as _, Empty};

/// Behaviour of the slots for sync invokes.
#[derive(Clone, Copy)]
pub(crate) enum Slots {
    Echo,
    Busy,
    Ending,
    Broken,
    /// Never answers.
    Stuck,
    /// Passes on a line and the request's body, as it arrives; fails at the word `fail`, and with its status alone at the
    /// word `fault`.
    Live,
}

#[async_trait]
impl Invoker for Slots {
    async fn streams(&self, _: ModuleDigest) -> bool {
        matches!(self, Self::Live)
    }

    async fn invoke(
        &self,
        _: FunctionVersion,
        start: Start,
        input: Bytes,
        exchange: Option<Exchange>,
    ) -> Result<Ended, InvokeError> {
        match self {
            Self::Live if let Some(exchange) = exchange => Ok(mirrored(exchange).await),
            Self::Live => Ok(ended("200\n\nwhole".into())),
            Self::Echo => {
                let output = if start.is_http { response_to(&input) } else { input };
                Ok(ended(output))
            }
            Self::Stuck => std::future::pending().await,
            Self::Busy => Err(InvokeError::Overloaded),
            Self::Ending => Err(InvokeError::ShuttingDown),
            Self::Broken => Err(InvokeError::Internal("a secret reason".to_owned())),
        }
    }
}

fn ended(output: Bytes) -> Ended {
    Ended { failure: None, output, receipt: Receipt::default(), log: Bytes::new() }
}

/// Passes on a line, and then the frames of the request's body.
async fn mirrored(exchange: Exchange) -> Ended {
    let head = Response { body: "first\n".into(), ..Response::of("a/b", Bytes::new()) };
    let pieces = exchange.pieces();
    let _ = pieces.send(Piece::Head(Box::new(head))).await;
    let mut body = exchange.take_body().unwrap_or_else(|| Empty::new().map_err(|never| match never {}).boxed_unsync());
    while let Some(frame) = body.frame().await {
        // The client has left.
        let Ok(frame) = frame else { break };
        let piece = match frame.into_data() {
            Ok(data) if data == "fail" => {
                let failure = Some(Failure::new(ErrorCode::Trap, "it fails"));
                return Ended { failure, ..ended(Bytes::new()) };
            }
            Ok(data) if data == "fault" => {
                let failure = Some(Failure::new(ErrorCode::GuestError, "the function answered with status 503"));
                return Ended { failure, ..ended("503\n\n".into()) };
            }
            Ok(data) => Piece::Data(data),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                let of = |(name, value): (&HeaderName, &HeaderValue)| {
                    Header::new(name.as_str(), Bytes::copy_from_slice(value.as_bytes())).unwrap()
                };
                Piece::Trailers(trailers.iter().map(of).collect())
            }
        };
        if pieces.send(piece).await.is_err() {
            break;
        }
    }
    ended(Bytes::new())
}

/// Returns the body of a request if it begins like a response, otherwise a response with the request as its body.
fn response_to(request: &Bytes) -> Bytes {
    let body = fusebox_core::http::Request::parse(request).unwrap().body;
    match body.first() {
        Some(b'0'..=b'9') => body,
        _ => [b"200\n\n", &request[..]].concat().into(),
    }
}
