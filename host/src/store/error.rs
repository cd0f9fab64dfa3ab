//! What can go wrong in a store. Knows neither stores nor surfaces.

/// What can go wrong in a store. Refusals that are part of an answer are in the answer's type.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the directory open.
    #[error("{path} is in use by another process: stop it, or choose another directory with --store")]
    InUse {
        /// The directory.
        path: String,
    },
    /// The directory cannot be used.
    #[error("cannot open the store in {path}: {reason}")]
    Open {
        /// The directory.
        path: String,
        /// What the system says.
        reason: String,
    },
    /// The store does not answer or cannot write now; trying again can help.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// A record cannot be read: a bug, or another program wrote it.
    #[error("the store holds a record that cannot be read: {0}")]
    Corrupt(String),
    /// What names the store names none.
    #[error("{0}")]
    Address(String),
    /// Redis cannot be reached.
    #[error("cannot reach Redis at {address}: {reason}")]
    Unreachable {
        /// Host and port.
        address: String,
        /// What happened, and what to do.
        reason: String,
    },
    /// Permanent refusal: another password, permission, address or kind of connection is needed.
    #[error("{0}")]
    Refused(String),
    /// The store lost its data since the start of this process, or is a different store now.
    #[error(
        "Redis at {address} is not the store that this process started with, its functions, API keys and tasks are gone: \
         restore them, or accept the loss, and then restart every process of this store"
    )]
    Emptied {
        /// Host and port.
        address: String,
    },
    /// The server cannot be the store.
    #[error("Redis 7.0 or newer is needed, and {address} is {version}")]
    WrongVersion {
        /// Host and port.
        address: String,
        /// What it says it is.
        version: String,
    },
}

impl Error {
    /// Returns true for temporary errors, which may disappear without any action.
    #[must_use]
    pub const fn passes(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unavailable(_))
    }
}
