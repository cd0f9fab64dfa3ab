//! Converts answers of Redis into plain values. Independent of steps and records.

use bytes::Bytes;
use redis::Value;

use crate::{Error, Result};

/// Returns the error of an answer in an unexpected form.
pub(super) fn unexpected(what: &str) -> Error {
    Error::Corrupt(format!("Redis answered {what} in an unknown form"))
}

/// Reads a list.
pub(super) fn list(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(unexpected("a list")),
    }
}

/// Reads a list of a known length.
pub(super) fn tuple<const N: usize>(value: Value) -> Result<[Value; N]> {
    list(value)?.try_into().map_err(|_| unexpected("a list"))
}

/// Reads bytes, or `None` for nil.
pub(super) fn bytes(value: Value) -> Result<Option<Bytes>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        _ => Err(unexpected("a string")),
    }
}

/// Reads text, or `None` for nil.
pub(super) fn optional_text(value: Value) -> Result<Option<String>> {
    match value {
        Value::Nil => Ok(None),
        Value::BulkString(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| unexpected("a text")),
        Value::SimpleString(text) => Ok(Some(text)),
        Value::Okay => Ok(Some("OK".to_owned())),
        _ => Err(unexpected("a text")),
    }
}

/// Reads text.
pub(super) fn text(value: Value) -> Result<String> {
    optional_text(value)?.ok_or_else(|| unexpected("a text"))
}

/// Reads an unsigned number, as an integer or in digits.
pub(super) fn number(value: Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(number).map_err(|_| unexpected("a number")),
        value => text(value)?.parse().map_err(|_| unexpected("a number")),
    }
}
