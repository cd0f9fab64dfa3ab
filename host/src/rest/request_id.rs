//! Request ids, which relate a response, its problem body and the host's log. A client may send its own in
//! `x-request-id`; one that could forge a log line is replaced.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue},
    response::Response,
};
use tracing::Instrument as _;

use fusebox_system::random;

/// Header with the id, in requests and responses.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id accepted; those of known proxies and tracers are shorter.
const CHARS_MAX: usize = 128;

tokio::task_local! {
    static CURRENT: HeaderValue;
}

/// Generates ids from a random start per process and a counter: unique, not secret.
pub(super) struct RequestIds {
    start: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self { start: u64::from_le_bytes(random::bytes()), count: AtomicU64::new(0) }
    }

    /// Returns the client's id if it is well-formed, otherwise a new one.
    pub(super) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(given) = headers.get(REQUEST_ID).filter(|given| is_sane(given.as_bytes())) {
            return given.clone();
        }
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let made = format!("{:016x}{count:016x}", self.start);
        HeaderValue::try_from(made).unwrap_or(HeaderValue::from_static("none"))
    }
}

/// Runs a request under its id: log events, problems and the response's header carry it.
pub(super) async fn named(id: HeaderValue, answering: impl Future<Output = Response>) -> Response {
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = CURRENT.scope(id.clone(), answering).instrument(span).await;
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// Returns the id of the current request, `None` outside of one.
pub(super) fn current() -> Option<String> {
    CURRENT.try_with(|id| id.to_str().ok().map(str::to_owned)).ok().flatten()
}

fn is_sane(id: &[u8]) -> bool {
    let sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    !id.is_empty() && id.len() <= CHARS_MAX && id.iter().all(sane)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_another_replaced() {
        let ids = RequestIds::new();
        let of = |id: &'static str| ids.of(&HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_static(id))]));
        assert_eq!(of("Root=1-67891233-abcdef"), "Root=1-67891233-abcdef");
        let long: &'static str = "x".repeat(CHARS_MAX + 1).leak();
        for insane in ["", "a b", "a\"b", "a\tb", long] {
            let made = of(insane);
            assert!(made != insane && made.len() == 32, "{made:?}");
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }
}
