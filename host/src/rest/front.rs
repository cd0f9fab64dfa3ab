//! What every request passes, before its route and after: it gets its name, pages that may read its answer are looked at,
//! its caller is found, and its answer is protected. One layer for all of it: each takes a future and copies the request.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::{
    Shared,
    access::Access,
    guard, headers,
    request_id::{self, RequestIds},
};

/// What it takes.
pub(super) struct Front {
    pub(super) app: Shared,
    pub(super) access: Access,
    pub(super) ids: RequestIds,
}

/// See the module's documentation.
pub(super) async fn front(State(front): State<Arc<Front>>, request: Request, next: Next) -> Response {
    let Front { app, access, ids } = &*front;
    let is_docs = headers::is_docs(request.uri().path());
    let id = ids.of(request.headers());
    let answering = app.settings.cors.answer(request, |request| guard::guard(app, access, request, next));
    let mut response = request_id::named(id, answering).await;
    headers::protect(response.headers_mut(), is_docs, app.settings.is_tls);
    response
}
