//! Errors of every store. Independent of the store in use and of the API.

/// Failure of a store. Refusals that are part of an answer are variants of the answer's type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory open.
    #[error("{path} is in use by another process: stop it, or choose another directory with --store")]
    InUse {
        /// Path of the directory.
        path: String,
    },
    /// The directory cannot be created, opened or read, or has an unknown format.
    #[error("cannot open the store in {path}: {reason}")]
    Open {
        /// Path of the directory.
        path: String,
        /// Text of the underlying error.
        reason: String,
    },
    /// The store does not answer or cannot write now; a later try may succeed.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The store has no room for this; reads, ends, cancellations and deletions go on, and so does this once there is
    /// room again.
    #[error("the store is full: {0}")]
    Full(String),
    /// A record cannot be decoded: a bug, or another program wrote it.
    #[error("the store holds a record that cannot be read: {0}")]
    Corrupt(String),
    /// The store's address is invalid.
    #[error("{0}")]
    Address(String),
    /// Redis cannot be reached.
    #[error("cannot reach Redis at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// Cause, and advice on how to fix it.
        reason: String,
    },
    /// Permanent refusal: another password, permission, address or kind of connection is needed.
    #[error("{0}")]
    Refused(String),
    /// The store lost its data since this process started, or a different store answers at its address.
    #[error(
        "Redis at {address} is not the store that this process started with, its functions, API keys and tasks are gone: \
         restore them, or accept the loss, and then restart every process of this store"
    )]
    Emptied {
        /// Host and port.
        address: String,
    },
    /// The server is too old to be the store.
    #[error("Redis 7.0 or newer is required, and {address} is {version}")]
    WrongVersion {
        /// Host and port.
        address: String,
        /// Version that the server reports.
        version: String,
    },
}

impl Error {
    /// Returns true for temporary errors, which may disappear without any action.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable(_) | Self::Full(_))
    }
}
