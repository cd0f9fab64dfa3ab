//! Idempotency keys: the same key with the same request leads to the same task, however often it is sent. The task's id
//! is made from tenant and key, and the store accepts an id once; so a key is remembered as long as its task's record.

use axum::http::{HeaderMap, HeaderName};
use fusebox_core::{
    error::ErrorCode,
    id::TaskId,
    limits::IDEMPOTENCY_KEY_CHARS_MAX,
    name::TenantId,
    task::{Fingerprint, Priority},
};
use sha2::{Digest as _, Sha256};

use super::{error::Problem, functions::LimitParams};

/// Carries the key.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// `true` in an answer about a task that an earlier request made.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A key as its client chose it.
#[derive(Clone, Debug)]
pub struct Key(String);

/// What a key and a request make of a task.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The task's id.
    pub id: TaskId,
    /// What was asked for.
    pub fingerprint: Fingerprint,
}

/// All that a client asks for, as it asks: a function that is registered anew between two equal requests makes no other
/// request of the second.
pub(super) struct Asked<'a> {
    /// The function as it was named.
    pub function: &'a str,
    /// Order within the tenant.
    pub priority: Priority,
    /// The delay and not its end, which the second of two equal requests moves.
    pub delay_ms: u64,
    /// The limits that were given.
    pub limits: &'a LimitParams,
    /// The task to try again.
    pub retry_of: Option<TaskId>,
}

impl Key {
    /// The key of a request.
    ///
    /// # Errors
    /// Where it cannot be one.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        headers.get(KEY).map(|value| value.to_str().unwrap_or_default().parse()).transpose()
    }

    /// The task of this key, or of an item of a batch that has it.
    pub(super) fn identify(&self, tenant: &TenantId, item: Option<u32>, asked: &Asked<'_>, input: &[u8]) -> Identity {
        let item = item.map(u32::to_be_bytes);
        let item = item.as_ref().map_or(&[][..], |item| item);
        let id = TaskId::from_digest(&digest(&[b"key", tenant.as_str().as_bytes(), self.0.as_bytes(), item]));
        Identity { id, fingerprint: asked.fingerprint(input) }
    }
}

impl Asked<'_> {
    fn fingerprint(&self, input: &[u8]) -> Fingerprint {
        let LimitParams { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = *self.limits;
        let limits = [fuel, wall_ms.map(u64::from), memory_bytes, output_bytes, log_bytes];
        // No limit can be 0, which is what none becomes.
        let limits = limits.map(|limit| limit.unwrap_or_default().to_be_bytes());
        let retry_of = self.retry_of.as_ref().map_or(&[][..], |task| task.as_bytes());
        let (priority, delay) = ([self.priority as u8], self.delay_ms.to_be_bytes());
        Fingerprint(digest(&[self.function.as_bytes(), &priority, &delay, limits.as_flattened(), retry_of, input]))
    }
}

/// The id of the task that replays a dead letter: one for each, so that a replay can be asked for again, and beside it,
/// so that the store can copy its input.
pub(super) fn replay_id(tenant: &TenantId, letter: TaskId) -> TaskId {
    TaskId::from_digest(&digest(&[b"replay", tenant.as_str().as_bytes(), letter.as_bytes()])).beside(letter)
}

/// Each part goes with its length, so that no two lists of parts are hashed alike.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let hash = parts
        .iter()
        .fold(Sha256::new(), |hash, part| hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    hash.finalize().into()
}

impl std::str::FromStr for Key {
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
        let key: Key = "k".parse().unwrap();
        let (tenant, other) = (TenantId::default_tenant(), "other".parse().unwrap());
        let none = LimitParams::default();
        let asked =
            |function, priority, delay_ms, limits, retry_of| Asked { function, priority, delay_ms, limits, retry_of };
        let base = || asked("f", Priority::Normal, 0, &none, None);
        let first = key.identify(&tenant, None, &base(), b"x");
        let again = key.identify(&tenant, None, &base(), b"x");
        assert_eq!((first.id, first.fingerprint), (again.id, again.fingerprint));
        let limited = serde_json::from_str(r#"{"fuel": 1}"#).unwrap();
        for other in [
            key.identify(&tenant, None, &base(), b"y"),
            key.identify(&tenant, None, &asked("g", Priority::Normal, 0, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::High, 0, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 1, &none, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 0, &limited, None), b"x"),
            key.identify(&tenant, None, &asked("f", Priority::Normal, 0, &none, Some(first.id)), b"x"),
        ] {
            assert_eq!(other.id, first.id);
            assert_ne!(other.fingerprint, first.fingerprint);
        }
        for id in [
            key.identify(&other, None, &base(), b"x").id,
            key.identify(&tenant, Some(0), &base(), b"x").id,
            key.identify(&tenant, Some(1), &base(), b"x").id,
            "l".parse::<Key>().unwrap().identify(&tenant, None, &base(), b"x").id,
            replay_id(&tenant, first.id),
        ] {
            assert_ne!(id, first.id);
        }
    }

    #[test]
    fn a_key_has_visible_characters_and_a_bound() {
        for good in ["k", "2026-01-01/order:7", &"k".repeat(IDEMPOTENCY_KEY_CHARS_MAX)] {
            assert!(good.parse::<Key>().is_ok(), "{good}");
        }
        for bad in ["", "two words", "é", "tab\t", &"k".repeat(IDEMPOTENCY_KEY_CHARS_MAX + 1)] {
            assert!(bad.parse::<Key>().is_err(), "{bad}");
        }
    }
}
