//! Ids of everything that is named by a machine. UUIDs are version 7, so that they sort by age, or version 8 where a
//! digest makes them; time, random bytes and digests are arguments, because this crate has none of them.

use alloc::string::String;
use core::{fmt, str::FromStr};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Counts the attempts of one task; also the fence that makes late results harmless. 0 before the first.
pub type Attempt = u32;

/// What could not be read as an id.
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
            /// A new id: a UUIDv7 of this moment and these random bytes.
            #[must_use]
            pub fn new(now: crate::time::Millis, random: [u8; 10]) -> Self {
                Self(Builder::from_unix_timestamp_millis(now.0, &random).into_uuid())
            }

            /// The id with these bytes, as a store or the wire holds it.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The 16 bytes of this id; they sort as the id does.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id as a UUID.
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
    /// Names one immutable version of a function.
    FunctionId
}
uuid_id! {
    /// Names a task.
    TaskId
}
uuid_id! {
    /// Names one incarnation of a dispatcher.
    DispatcherId
}
uuid_id! {
    /// Names one incarnation of a worker: a restarted worker is a new worker, so that its old credit and results cannot
    /// mix with the new.
    WorkerId
}

impl TaskId {
    /// Batches count to here in their ids.
    const PLACES: u32 = 1 << 18;

    /// The id of the task at a place of a batch: ids made at one moment sort as the batch does, and the queue goes by id
    /// where it cannot tell by time.
    #[must_use]
    pub fn in_batch(now: crate::time::Millis, place: u32, random: [u8; 7]) -> Self {
        let [_, high, middle, low] = ((place % Self::PLACES) << 2).to_be_bytes();
        // The version takes the first 4 bits, the variant 2 more behind the 12 that follow.
        let (first, second, third) = (high, middle, low >> 2);
        let mut bytes = [0; 10];
        let (places, tail) = bytes.split_at_mut(3);
        places.copy_from_slice(&[first, second, third]);
        tail.copy_from_slice(&random);
        Self::new(now, bytes)
    }

    /// This id, where it lies beside another task's: stores spread tasks by the low four bits of their ids.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        let (mut bytes, other) = (*self.as_bytes(), *other.as_bytes());
        bytes[15] = bytes[15] & 0xf0 | other[15] & 0x0f;
        Self::from_bytes(bytes)
    }

    /// The id that a digest stands for, as a UUIDv8. It has no time in it: the same idempotency key leads to the same id
    /// at any time.
    #[must_use]
    pub fn from_digest(digest: &[u8; 32]) -> Self {
        let (head, _) = digest.split_at(16);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(head);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }
}

/// The SHA-256 of a module's wasm bytes. Carries no tenant: equal modules are one module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ModuleDigest(pub [u8; 32]);

impl fmt::Display for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ModuleDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ModuleDigest {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let error = ParseIdError { expected: "64 hexadecimal digits" };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(error);
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = core::str::from_utf8(pair).map_err(|_| error)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| error)?;
        }
        Ok(Self(digest))
    }
}

/// Proves the right to record the end of an attempt: 128 random bits that only the lease holder knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseToken(pub [u8; 16]);

/// Never prints the token: whoever reads a log must not be able to record a result.
impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}

/// Whether `text` would be read as a UUID. Names of that shape are refused, so that a name is never taken for an id.
#[must_use]
pub fn is_uuid_shaped(text: &str) -> bool {
    Uuid::parse_str(text).is_ok()
}

/// Lowercase hexadecimal text of some bytes.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    use core::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
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
