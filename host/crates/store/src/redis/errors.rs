//! Converts errors of the connection and of the server, and adds advice. Never includes an argument of a command, since
//! those are passwords, inputs and outputs.

use std::time::Duration;

use redis::{ErrorKind, RedisError};

use super::permissions;
use crate::Error;

/// A server without TLS waits for the rest of a command, and does not answer a TLS handshake.
const SILENT: &str = "does not answer in time: if its port does not speak TLS, the URL must not be rediss://";

/// Consequence of an error for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The library is missing and must be loaded.
    NoLibrary,
    /// The connection is gone: a new one is needed, and the call can be sent again.
    Dropped,
    /// The server is not the master, which must be located again.
    NotMaster,
    /// Any other error: the connection is still usable.
    Answered,
}

/// Classifies an error by its consequence for the connection.
pub(super) fn trouble(error: &RedisError) -> Trouble {
    match (error.code(), error.kind()) {
        (Some("ERR"), _) if error.detail().is_some_and(|text| text.starts_with("Function not found")) => {
            Trouble::NoLibrary
        }
        (Some("READONLY"), _) => Trouble::NotMaster,
        (None, ErrorKind::Io | ErrorKind::ClusterConnectionNotFound | ErrorKind::Parse) => Trouble::Dropped,
        _ => Trouble::Answered,
    }
}

/// Converts an error of a call for the caller.
pub(super) fn told(address: &str, error: &RedisError) -> Error {
    match error.code() {
        Some("OOM") => Error::Full(format!("Redis at {address} {}", reason(error))),
        Some("WRONGTYPE") => Error::Corrupt(format!("a key at {address} does not have the type that this store uses")),
        _ if lasts(error) => Error::Refused(format!("Redis at {address} {}", reason(error))),
        _ => Error::Unavailable(format!("Redis at {address} {}", reason(error))),
    }
}

/// Returns true for an error that waiting does not resolve: it takes another password, permission, address or kind of
/// connection.
fn lasts(error: &RedisError) -> bool {
    let says = |words: &str| error.detail().is_some_and(|text| text.contains(words));
    matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED"))
        || matches!(error.kind(), ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig)
        || says("cluster support disabled")
        || says("DB index is out of range")
        || says("no permissions")
        || is_of_tls(error)
}

/// Form of the cause in an error of the client library.
type Shared = std::sync::Arc<dyn std::error::Error + Send + Sync>;

/// Returns true if the two sides could not agree on TLS.
fn is_of_tls(error: &RedisError) -> bool {
    let shared = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Shared>());
    let io = shared.and_then(|shared| shared.downcast_ref::<std::io::Error>());
    io.and_then(std::io::Error::get_ref).is_some_and(|inner| inner.is::<rustls::Error>())
}

/// Converts an error of opening a connection.
pub(super) fn at_opening(address: &str, error: &RedisError) -> Error {
    let sentence = format!("Redis at {address} {}", reason(error));
    // The server speaks another protocol.
    if lasts(error) || error.kind() == ErrorKind::Parse {
        Error::Refused(sentence)
    } else {
        Error::Unavailable(sentence)
    }
}

/// Converts an error of a Sentinel.
pub(super) fn of_sentinel(address: &str, error: &RedisError) -> Error {
    let sentence = format!("the Sentinel at {address} {}", reason(error));
    if lasts(error) || error.kind() == ErrorKind::Parse {
        Error::Refused(sentence)
    } else {
        Error::Unavailable(sentence)
    }
}

/// Returns the error of a connection that was not established in time.
pub(super) fn silent_at_opening(address: &str) -> Error {
    Error::Unavailable(format!("Redis at {address} {SILENT}"))
}

/// Returns the error of a call that got no answer in time.
pub(super) fn silent(address: &str, after: Duration) -> Error {
    Error::Unavailable(format!("Redis at {address} did not answer within {} ms", after.as_millis()))
}

/// Returns the end of a sentence that starts with "Redis at host:port".
pub(super) fn reason(error: &RedisError) -> String {
    if error.code() == Some("NOPERM") || error.detail().is_some_and(|text| text.contains("no permissions")) {
        return format!("does not permit its user a command that the store needs; {}", permissions::all());
    }
    let fixed = match error.code() {
        Some("LOADING") => "is loading its data: it answers afterwards",
        Some("OOM") => "has no memory left: raise its maxmemory, or wait until tasks have ended",
        Some("READONLY") => "is a replica, which is read-only: use the master's address, or redis+sentinel://",
        Some("MISCONF") => "refuses writes because it cannot write to its disk: see its log",
        Some("NOREPLICAS") => "refuses writes because it has too few replicas",
        Some("MASTERDOWN") => "is a replica that has lost its master: it answers when it has one again",
        Some("CLUSTERDOWN") => "is part of a Cluster that does not have all of its slots",
        Some("MOVED") => "is part of a Cluster: use redis+cluster://",
        Some("NOAUTH") => "requires a password: write redis://user:password@host:port",
        Some("WRONGPASS") => "refuses the user or the password",
        _ if error.kind() == ErrorKind::AuthenticationFailed => "refuses the user or the password",
        _ if error.detail().is_some_and(|text| text.contains("cluster support disabled")) => {
            "is not a Cluster: use redis://"
        }
        _ if error.detail().is_some_and(|text| text.contains("DB index is out of range")) => {
            "has no database of this number: write a smaller one"
        }
        _ if error.kind() == ErrorKind::Parse => "does not use Redis's protocol: if it requires TLS, use rediss://",
        _ if error.is_connection_refusal() => "refuses connections: is it running?",
        _ if error.is_timeout() => SILENT,
        _ if error.is_connection_dropped() => "closed the connection: if it requires TLS, use rediss://",
        _ => "",
    };
    match (fixed, error.code(), error.detail()) {
        ("", Some(code), Some(detail)) => format!("answered {code} {detail}"),
        ("", Some(code), None) => format!("answered {code}"),
        ("", None, _) => format!("cannot be used: {error}"),
        (fixed, ..) => fixed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_of_a_server_that_cannot_work_is_a_sentence() {
        let told = |answer: &str| {
            let value = redis::parse_redis_value(format!("-{answer}\r\n").as_bytes()).unwrap();
            told("cache:6379", &value.extract_error().unwrap_err())
        };
        let known = [
            ("LOADING Redis is loading the dataset in memory", "is loading its data"),
            ("OOM command not allowed when used memory > 'maxmemory'.", "has no memory left"),
            ("READONLY You can't write against a read only replica.", "is a replica"),
            ("MISCONF Redis is configured to save RDB snapshots", "cannot write to its disk"),
            ("CLUSTERDOWN The cluster is down", "does not have all of its slots"),
            ("MOVED 3999 127.0.0.1:6381", "use redis+cluster://"),
            ("NOREPLICAS Not enough good replicas to write.", "too few replicas"),
            ("MASTERDOWN Link with MASTER is down", "has lost its master"),
            ("WRONGPASS invalid username-password pair", "refuses the user or the password"),
            ("NOAUTH Authentication required.", "requires a password"),
            ("NOPERM this user has no permissions", "does not permit"),
            ("BUSY Redis is busy running a script.", "answered BUSY Redis is busy"),
        ];
        for (answer, expected) in known {
            let error = told(answer);
            assert!(error.to_string().contains(expected), "{error}");
            let lasts = ["NOAUTH", "NOPERM", "WRONGPASS"].iter().any(|code| answer.starts_with(code));
            assert_eq!(error.passes(), !lasts, "{error}");
            assert_eq!(matches!(error, Error::Full(_)), answer.starts_with("OOM"), "{error}");
        }
        assert!(matches!(told("WRONGTYPE Operation against a key"), Error::Corrupt(_)));
    }

    #[test]
    fn a_missing_function_is_known_by_its_answer() {
        let value = redis::parse_redis_value(b"-ERR Function not found\r\n").unwrap();
        assert_eq!(trouble(&value.extract_error().unwrap_err()), Trouble::NoLibrary);
    }
}
