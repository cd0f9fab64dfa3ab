//! Native counterparts of the host's imports: the same numbers, and a result kept for `answer`.

use super::{Host, with};
use crate::Refusal;

/// Result of a call: bytes, or a number.
pub(super) enum Said {
    Bytes(Vec<u8>),
    Number(i64),
}

fn said(act: impl FnOnce(&mut Host) -> Result<Option<Said>, Refusal>) -> i64 {
    with(|host| {
        host.answer.clear();
        match host.refusal.map_or_else(|| act(host), Err) {
            Ok(Some(Said::Bytes(bytes))) => {
                host.answer = bytes;
                i64::try_from(host.answer.len()).unwrap_or(i64::MAX)
            }
            Ok(Some(Said::Number(number))) => number,
            Ok(None) => -1,
            Err(refusal) => refusal.code(),
        }
    })
}

/// Checks a name by the host's rule: 1 to 128 characters of `A-Z`, `a-z`, `0-9`, `-`, `_` and `.`.
fn checked(name: &str) -> Result<&str, Refusal> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = (1..=128).contains(&name.len());
    if fits && name.bytes().all(is_good) { Ok(name) } else { Err(Refusal::Invalid) }
}

pub(crate) fn config(name: &str) -> i64 {
    said(|host| Ok(host.config.get(checked(name)?).cloned().map(Said::Bytes)))
}

pub(crate) fn secret(name: &str) -> i64 {
    said(|host| Ok(host.secrets.get(checked(name)?).cloned().map(Said::Bytes)))
}

pub(crate) fn kv_get(key: &[u8]) -> i64 {
    said(|host| host.kv.get(key).map(|found| found.map(Said::Bytes)))
}

pub(crate) fn kv_set(key: &[u8], value: &[u8], ttl_ms: i64, expects: i64) -> i64 {
    said(|host| host.kv.set(key, value, ttl_ms, expects).map(|revision| Some(Said::Number(revision))))
}

pub(crate) fn kv_delete(key: &[u8], expects: i64) -> i64 {
    said(|host| host.kv.delete(key, expects).map(|deleted| Some(Said::Number(deleted.into()))))
}

pub(crate) fn kv_keys(prefix: &[u8], after: &[u8]) -> i64 {
    said(|host| host.kv.keys(prefix, after).map(|page| Some(Said::Bytes(page))))
}

pub(crate) fn http(request: &[u8]) -> i64 {
    said(|host| host.web.send(request).map(|answer| Some(Said::Bytes(answer))))
}

pub(crate) fn answer(buffer: &mut [u8]) {
    with(|host| buffer.iter_mut().zip(&host.answer).for_each(|(to, from)| *to = *from));
}
