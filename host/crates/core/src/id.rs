//! Machine-generated ids. UUIDs are version 7, which sort by creation time, or version 8 if derived from a digest.
//! Time, random bytes and digests are arguments, since this crate has no source of them.

use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Number of an attempt of a task, starting at 1; 0 before the first. Part of the fence that rejects late results.
pub type Attempt = u32;

/// Error of parsing an id from text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{expected} is expected")]
pub struct ParseIdError {
    expected: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns a new UUIDv7 made of the time `now` and 80 random bits.
            #[must_use]
            pub fn new(now: crate::time::Millis, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
            }

            /// Returns the id with the given bytes, as read from a store or a message.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes of the id, which sort in the id's order.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Returns the id as a UUID.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| ParseIdError { expected: "a UUID" })
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

uuid_id! {
    /// Id of one immutable version of a function.
    FunctionId
}
uuid_id! {
    /// Id of a task.
    TaskId
}
uuid_id! {
    /// Id of an act on many tasks.
    JobId
}
uuid_id! {
    /// Id of one incarnation of a dispatcher process.
    DispatcherId
}
uuid_id! {
    /// Id of one incarnation of a worker. A restarted worker has a new id, which keeps its credit and results apart
    /// from those of its predecessor.
    WorkerId
}

impl TaskId {
    /// Number of positions in a batch that ids distinguish.
    const PLACES: u32 = 1 << 18;

    /// Returns the id of the task at position `place` of a batch. Ids of the same millisecond sort in the batch's
    /// order, which the queue relies on if the times are equal.
    #[must_use]
    pub fn in_batch(now: crate::time::Millis, place: u32, random: [u8; 7]) -> Self {
        let [_, high, middle, low] = ((place % Self::PLACES) << 2).to_be_bytes();
        // The version field takes the first 4 bits of the random part; the variant takes 2 more after the next 12.
        let (first, second, third) = (high, middle, low >> 2);
        let mut bytes = [0; 10];
        let (places, tail) = bytes.split_at_mut(3);
        places.copy_from_slice(&[first, second, third]);
        tail.copy_from_slice(&random);
        Self::new(now, bytes)
    }

    /// Returns this id moved to the partition of another task: stores partition tasks by the low four bits of their
    /// ids.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        let (mut bytes, other) = (*self.as_bytes(), *other.as_bytes());
        bytes[15] = bytes[15] & 0xf0 | other[15] & 0x0f;
        Self::from_bytes(bytes)
    }

    /// Returns the UUIDv8 derived from a digest. It contains no timestamp, so an idempotency key yields the same id at
    /// any time.
    #[must_use]
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let (head, _) = digest.split_at(16);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(head);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = [0; 64];
                hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
                f.write_str(core::str::from_utf8(&text).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut digest = [0; 32];
                let decoded = hex::decode_to_slice(text, &mut digest);
                decoded.map(|()| Self(digest)).map_err(|_| ParseIdError { expected: "64 hexadecimal digits" })
            }
        }
    };
}

digest! {
    /// SHA-256 digest of a module's wasm bytes. It carries no tenant: identical modules are stored once.
    ModuleDigest
}

digest! {
    /// SHA-256 digest of an archive of files. It carries no tenant: identical archives are stored once.
    FilesDigest
}

/// Secret of a lease: 128 random bits that prove the right to record the end of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseToken(pub [u8; 16]);

/// Omits the token, so that access to logs does not allow recording a result.
impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}

/// Returns whether `text` parses as a UUID. Names of that shape are rejected, so a name is never mistaken for an id.
#[must_use]
pub fn is_uuid_shaped(text: &str) -> bool {
    Uuid::parse_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Millis;
    use alloc::string::ToString;

    #[test]
    fn ids_sort_by_age_and_survive_text() {
        let older = TaskId::new(Millis(1_000), [255; 10]);
        let newer = TaskId::new(Millis(1_001), [0; 10]);
        assert!(older < newer);
        assert_eq!(older.to_string().parse(), Ok(older));
        assert_eq!(older.uuid().get_version_num(), 7);
    }

    #[test]
    fn ids_of_a_batch_sort_as_the_batch_does() {
        let ids: alloc::vec::Vec<_> =
            (0..TaskId::PLACES).map(|place| TaskId::in_batch(Millis(1_000), place, [255; 7])).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
        assert!(ids[0] < TaskId::in_batch(Millis(1_000), 1, [0; 7]));
        assert_eq!(ids[1].uuid().get_version_num(), 7);
    }

    #[test]
    fn a_digest_leads_to_one_id() {
        let id = TaskId::from_digest(&[0xff; 32]);
        assert_eq!(id.to_string(), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        assert_ne!(id, TaskId::from_digest(&[0xfe; 32]));
    }

    #[test]
    fn a_digest_survives_text_and_refuses_what_is_not_hex() {
        let digest = ModuleDigest([0xa5; 32]);
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("+1".repeat(32).parse::<ModuleDigest>().is_err());
        assert!("a5".parse::<ModuleDigest>().is_err());
    }

    #[test]
    fn a_token_is_not_printed() {
        assert_eq!(alloc::format!("{:?}", LeaseToken([7; 16])), "LeaseToken(..)");
    }
}
