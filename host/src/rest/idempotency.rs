//! Idempotency keys: requests with the same key and content lead to the same task, however often they are sent. The
//! task's id is derived from tenant and key, and the store accepts an id once; a key is therefore remembered as long as
//! the task's record.

use axum::http::{HeaderMap, HeaderName};
use fusebox_api::functions::LimitParams;
use fusebox_core::{
    error::ErrorCode,
    id::TaskId,
    limits::IDEMPOTENCY_KEY_CHARS_MAX,
    name::TenantId,
    setup::Start,
    tags::Tags,
    task::{Fingerprint, Priority},
};
use sha2::{Digest as _, Sha256};

use super::error::Problem;

/// Request header with the key.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Response header, `true` if an earlier request created the task.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Idempotency key as the client sent it.
#[derive(Clone, Debug)]
pub struct IdempotencyKey(String);

/// Id and fingerprint derived from a key and its request.
#[derive(Clone, Copy, Debug)]
pub struct TaskIdentity {
    /// Id of the task.
    pub id: TaskId,
    /// Hash of the request, compared when the id is sent again.
    pub fingerprint: Fingerprint,
}

impl TaskIdentity {
    /// Returns the fingerprint of the request with the content type of its input, if the function learns of that.
    #[must_use]
    pub fn of_input(&self, content_type: Option<&str>) -> Fingerprint {
        match content_type {
            None => self.fingerprint,
            Some(stated) => Fingerprint(digest(&[&self.fingerprint.0, b"type", stated.as_bytes()])),
        }
    }
}

/// Content of a request as the client sent it, not as it was resolved: if the function gets a new version between two
/// equal requests, they are still equal.
pub(super) struct RequestContent<'a> {
    /// Function as named in the request.
    pub function: &'a str,
    /// Priority within the tenant.
    pub priority: Priority,
    /// Delay in milliseconds. The time of its end would differ between two equal requests.
    pub delay_ms: u64,
    /// Limits given in the request.
    pub limits: &'a LimitParams,
    /// Way in which the request starts the function.
    pub start: &'a Start,
    /// Tags given in the request.
    pub tags: &'a Tags,
    /// Failed task that is retried.
    pub retry_of: Option<TaskId>,
}

impl IdempotencyKey {
    /// Returns the request's key, `None` if it has none.
    ///
    /// # Errors
    /// `InvalidRequest` if the key is malformed.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        headers.get(KEY).map(|value| value.to_str().unwrap_or_default().parse()).transpose()
    }

    /// Derives the task's identity; `item` is the place in a batch whose key applies to all its items.
    pub(super) fn identify(
        &self,
        tenant: &TenantId,
        item: Option<u32>,
        asked: &RequestContent<'_>,
        input: &[u8],
    ) -> TaskIdentity {
        let item = item.map(u32::to_be_bytes);
        let item = item.as_ref().map_or(&[][..], |item| item);
        let id = TaskId::from_digest(&digest(&[b"key", tenant.as_str().as_bytes(), self.0.as_bytes(), item]));
        TaskIdentity { id, fingerprint: asked.fingerprint(input) }
    }
}

impl RequestContent<'_> {
    fn fingerprint(&self, input: &[u8]) -> Fingerprint {
        let LimitParams { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = *self.limits;
        let limits = [fuel, wall_ms.map(u64::from), memory_bytes, output_bytes, log_bytes, cpu_ms.map(u64::from)];
        // 0 is no valid limit, so it can stand for a missing one.
        let limits = limits.map(|limit| limit.unwrap_or_default().to_be_bytes());
        let retry_of = self.retry_of.as_ref().map_or(&[][..], |task| task.as_bytes());
        let (priority, delay) = ([self.priority as u8], self.delay_ms.to_be_bytes());
        let own = [self.function.as_bytes(), &priority, &delay, limits.as_flattened(), retry_of, input];
        // A request without a start or tags hashes as before there were any.
        let Start { args, export, is_http, content_type } = self.start;
        let args = args.iter().flat_map(|arg| [&b"arg"[..], arg.as_bytes()]);
        let export = export.iter().flat_map(|export| [&b"export"[..], export.as_bytes()]);
        let http = is_http.then_some(&b"http"[..]);
        let content_type = content_type.iter().flat_map(|stated| [&b"type"[..], stated.as_bytes()]);
        let tags = self.tags.iter().flat_map(|(key, value)| [&b"tag"[..], key.as_bytes(), value.as_bytes()]);
        let start = args.chain(export).chain(http).chain(content_type);
        Fingerprint(digest(&own.into_iter().chain(start).chain(tags).collect::<Vec<_>>()))
    }
}

/// Derives the id of the task that replays a dead letter. It is always the same, so that a replay can be repeated, and
/// lies beside the letter's, so that the store can copy its input.
pub(in crate::rest) fn replay_id(tenant: &TenantId, letter: TaskId) -> TaskId {
    TaskId::from_digest(&digest(&[b"replay", tenant.as_str().as_bytes(), letter.as_bytes()])).beside(letter)
}

/// Hashes each part after its length, so that no two lists of parts hash alike.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let hash = parts
        .iter()
        .fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    hash.finalize().into()
}

impl std::str::FromStr for IdempotencyKey {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let fits = (1..=IDEMPOTENCY_KEY_CHARS_MAX).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Self(text.to_owned()));
        }
        let detail = format!("an idempotency key has 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters");
        Err(Problem::new(ErrorCode::InvalidRequest, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_of_a_request_has_a_part_in_its_fingerprint() {
        let key: IdempotencyKey = "k".parse().unwrap();
        let (tenant, other) = (TenantId::default_tenant(), "other".parse().unwrap());
        let none = LimitParams::default();
        let (start, untagged) = (Start::default(), Tags::default());
        let tags = Tags::parse_list("a=1").unwrap();
        let asked = |function, priority, delay_ms, limits, retry_of| RequestContent {
            function,
            priority,
            delay_ms,
            limits,
            start: &start,
            tags: &untagged,
            retry_of,
        };
        let base = || asked("f", Priority::Normal, 0, &none, None);
        let first = key.identify(&tenant, None, &base(), b"x");
        let again = key.identify(&tenant, None, &base(), b"x");
        assert_eq!((first.id, first.of_input(None)), (again.id, again.fingerprint));
        let limited = serde_json::from_str(r#"{"fuel": 1}"#).unwrap();
        let starts = [(vec!["a"], None), (vec!["a", "b"], None), (vec!["ab"], None), (vec![], Some("a"))];
        let starts = starts.map(|(args, export)| Start {
            args: args.into_iter().map(str::to_owned).collect(),
            export: export.map(str::to_owned),
            ..Start::default()
        });
        let started = starts.each_ref().map(|start| {
            let asked = RequestContent { start, ..base() };
            key.identify(&tenant, None, &asked, b"x")
        });
        assert!((1..4).all(|at| started[..at].iter().all(|other| other.fingerprint != started[at].fingerprint)));
        for other in started.into_iter().chain([
            key.identify(&tenant, None, &base(), b"y"),
            TaskIdentity { id: first.id, fingerprint: first.of_input(Some("a/b")) },
            TaskIdentity { id: first.id, fingerprint: first.of_input(Some("a/c")) },
            key.identify(&tenant, None, &asked("g", Priority::Normal, 0, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::High, 0, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 1, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 0, &limited, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 0, &none, Some(first.id)), b"x"),
            key.identify(&tenant, None, &RequestContent { tags: &tags, ..base() }, b"x"),
        ]) {
            assert_eq!(other.id, first.id);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
        for id in [
            key.identify(&other, None, &base(), b"x").id,
            key.identify(&tenant, Some(0), &base(), b"x").id,
            key.identify(&tenant, Some(1), &base(), b"x").id,
            "l".parse::<IdempotencyKey>().unwrap().identify(&tenant, None, &base(), b"x").id,
            replay_id(&tenant, first.id),
        ] {
            assert_ne!(id, first.id);
        }
    }

    #[test]
    fn a_key_has_visible_characters_and_a_bound() {
        for good in ["k", "2026-01-01/order:7", &"k".repeat(IDEMPOTENCY_KEY_CHARS_MAX)] {
            assert!(good.parse::<IdempotencyKey>().is_ok(), "{good}");
        }
        for bad in ["", "two words", "é", "tab\t", &"k".repeat(IDEMPOTENCY_KEY_CHARS_MAX + 1)] {
            assert!(bad.parse::<IdempotencyKey>().is_err(), "{bad}");
        }
    }
}
