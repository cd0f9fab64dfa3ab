//! The one layer that every request passes: request id, CORS, guard and security headers. One layer for all of them,
//! since each layer costs a boxed future and a copy of the request. With the layers of tower-http for request ids, CORS
//! and sensitive headers, a request that does nothing else takes 1.2 times the processor time, and 1.7 times where an
//! origin is listed (interleaved rounds on 2 shared cores); ids that forge log lines would still be checked here.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{
    access::Access,
    app::Shared,
    endpoints::{Apart, Served},
    guard, headers,
    request_id::{self, RequestIds},
};

/// State of the layer.
pub(super) struct Front {
    pub(super) app: Shared,
    pub(super) access: Access,
    pub(super) ids: RequestIds,
}

/// Handles a request in the order of the module's documentation.
pub(super) async fn front(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let Front { app, access, ids } = &*front;
    let is_docs = headers::is_docs(request.uri().path());
    let id = ids.of(request.headers());
    let is_apart = request.extensions().get::<Apart>().is_some();
    let answering = async {
        let guarded = |request| guard::guard(app, access, request, next);
        // A function on a host of its own decides itself which pages may read its responses.
        if is_apart { guarded(request).await } else { app.settings.cors.answer(request, guarded).await }
    };
    let mut response = request_id::named(id, answering).await;
    match response.extensions().get().copied() {
        Some(Served { is_apart }) => {
            headers::protect_served(response.headers_mut(), is_apart, app.settings.is_tls);
        }
        None => headers::protect(response.headers_mut(), is_docs, app.settings.is_tls),
    }
    response
}
