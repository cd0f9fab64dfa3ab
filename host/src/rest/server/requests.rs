//! Requests of an HTTP/1 connection, between hyper and the router: checks specific to the version, and tracking of the
//! request's body.

use std::{
    convert::Infallible,
    future::Ready,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    Router,
    http::{Version, header},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use fusebox_core::error::ErrorCode;
use futures_util::future::Either;
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    service::Service,
};
use hyper_util::service::{TowerToHyperService, TowerToHyperServiceFuture};

use super::{connections::Connection, pace::Pace};
use crate::rest::{error::Problem, headers};

/// Service of one connection.
pub(super) struct Requests {
    pub(super) router: TowerToHyperService<Router>,
    pub(super) pace: Arc<Pace>,
    pub(super) connection: Arc<Connection>,
    pub(super) is_tls: bool,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response, Infallible>>, TowerToHyperServiceFuture<Router, Request<Watched>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        self.pace.begin(!request.body().is_end_stream());
        // RFC 9112, 3.2: a request without a host is ambiguous, and proxies may have read it differently.
        if request.version() == Version::HTTP_11 && !request.headers().contains_key(header::HOST) {
            let detail = "an HTTP/1.1 request must name its host: send one Host header";
            let mut response = Problem::new(ErrorCode::InvalidRequest, detail).into_response();
            headers::protect(response.headers_mut(), false, self.is_tls);
            return Either::Left(std::future::ready(Ok(response)));
        }
        request.extensions_mut().insert(self.connection.clone());
        Either::Right(self.router.call(request.map(|body| Watched { body, pace: self.pace.clone() })))
    }
}

/// Body that reports its end to the connection's pace.
pub(super) struct Watched {
    body: Incoming,
    pace: Arc<Pace>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.pace.end_body(true);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if self.pace.is_body_open() {
            self.pace.end_body(false);
        }
    }
}
