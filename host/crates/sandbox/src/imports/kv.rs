//! The function's own key-value namespace:
//! `kv_get(key_ptr, key_len) -> i64`: the result is the revision in 8 bytes, little-endian, followed by the value.
//! `kv_set(key_ptr, key_len, val_ptr, val_len, ttl_ms: i64, expects: i64) -> i64`: returns the new revision. A TTL of 0
//! means none.
//! `kv_delete(key_ptr, key_len, expects: i64) -> i64`: returns 1 if an entry was removed, 0 if there was none.
//! `kv_keys(prefix_ptr, prefix_len, after_ptr, after_len) -> i64`: the result is a list of texts, each behind its length in
//! 4 bytes, little-endian: the place where the page ends, empty if it is the last one, then the keys. `after` is that
//! place of the page before, empty for the first page.
//! `expects` is -1 for anything, 0 for no entry, or a revision. A negative return value is a refusal.

use bytes::{BufMut as _, Bytes, BytesMut};
use fusebox_core::capability::{Expects, HostCall, KvCursor, KvKey, KvPrefix, KvValue, Refusal, Ttl};
use wasmtime::{Caller, Result};

use super::{ask, bounded};
use crate::host::Host;

pub(super) fn get(caller: &mut Caller<'_, Host>, ptr: u32, len: u32) -> Result<i64> {
    let key = bounded::<KvKey>(caller, "kv_get", ptr, len, KvKey::check)?;
    ask(caller, key.map(HostCall::KvGet))
}

pub(super) fn set(
    caller: &mut Caller<'_, Host>,
    ptr: u32,
    len: u32,
    value_ptr: u32,
    value_len: u32,
    ttl_ms: i64,
    expects: i64,
) -> Result<i64> {
    let key = bounded::<KvKey>(caller, "kv_set", ptr, len, KvKey::check)?;
    let value = bounded::<KvValue>(caller, "kv_set", value_ptr, value_len, KvValue::check)?;
    let call = || -> Result<HostCall, Refusal> {
        Ok(HostCall::KvSet { key: key?, value: value?, ttl: ttl(ttl_ms)?, expects: Expects::from_guest(expects)? })
    };
    ask(caller, call())
}

pub(super) fn delete(caller: &mut Caller<'_, Host>, ptr: u32, len: u32, expects: i64) -> Result<i64> {
    let key = bounded::<KvKey>(caller, "kv_delete", ptr, len, KvKey::check)?;
    let call = || -> Result<HostCall, Refusal> {
        Ok(HostCall::KvDelete { key: key?, expects: Expects::from_guest(expects)? })
    };
    ask(caller, call())
}

pub(super) fn keys(caller: &mut Caller<'_, Host>, ptr: u32, len: u32, after_ptr: u32, after_len: u32) -> Result<i64> {
    let prefix = bounded::<KvPrefix>(caller, "kv_keys", ptr, len, KvPrefix::check)?;
    let after = bounded::<KvCursor>(caller, "kv_keys", after_ptr, after_len, KvCursor::check)?;
    let call = || -> Result<HostCall, Refusal> { Ok(HostCall::KvKeys { prefix: prefix?, after: after? }) };
    ask(caller, call())
}

/// Returns a page of keys as the guest gets it.
pub(super) fn listed(keys: &[KvKey], next: &KvCursor) -> Bytes {
    let mut bytes = BytesMut::new();
    for text in [next.as_bytes()].into_iter().chain(keys.iter().map(KvKey::as_bytes)) {
        bytes.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
        bytes.put_slice(text);
    }
    bytes.freeze()
}

fn ttl(ms: i64) -> Result<Option<Ttl>, Refusal> {
    match u64::try_from(ms) {
        Ok(0) => Ok(None),
        Ok(ms) => Ttl::try_from(ms).map(Some),
        Err(_) => Err(Refusal::Invalid),
    }
}
