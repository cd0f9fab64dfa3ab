//! Reasons for which the host refuses a call.

use std::{error::Error, fmt};

/// Reason for which the host refused a call. Its text, used as a function's error, suggests a remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Another run changed the entry since it was read; read it again.
    Conflict,
    /// A key, value, request or response exceeds its size limit.
    TooLarge,
    /// The function or its tenant has reached its storage quota.
    Quota,
    /// The function lacks the grant, or the request's host has an address that no function may reach.
    NotAllowed,
    /// The service is temporarily unavailable; another attempt may succeed.
    Unavailable,
    /// No response arrived in time.
    TimedOut,
    /// The call is malformed, for example a name, URL or header.
    Invalid,
}

impl Refusal {
    /// Decodes the return value of a host import. `Ok` is the value unless the call was refused, and `None` if the
    /// value does not exist.
    pub(crate) fn check(result: i64) -> Result<Option<u64>, Self> {
        Err(match result {
            -1 => return Ok(None),
            -2 => Self::Conflict,
            -3 => Self::TooLarge,
            -4 => Self::Quota,
            -5 => Self::NotAllowed,
            // A newer host may return numbers unknown to this SDK; none of them is a success.
            -6 => Self::Unavailable,
            -7 => Self::TimedOut,
            -8 => Self::Invalid,
            _ => return u64::try_from(result).map(Some).map_err(|_| Self::Unavailable),
        })
    }

    /// Returns the number used by the host interface.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) const fn code(self) -> i64 {
        match self {
            Self::Conflict => -2,
            Self::TooLarge => -3,
            Self::Quota => -4,
            Self::NotAllowed => -5,
            Self::Unavailable => -6,
            Self::TimedOut => -7,
            Self::Invalid => -8,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conflict => "another run has changed the entry: read it again",
            Self::TooLarge => "it is larger than the host allows",
            Self::Quota => "the function or its tenant has stored as much as it may: delete what it does not need",
            Self::NotAllowed => {
                "it is not allowed: the function needs a grant for it, and no private address is reached"
            }
            Self::Unavailable => "it is not available now: try again",
            Self::TimedOut => "no answer came in time",
            Self::Invalid => "the call is not valid: check names, URL and headers",
        })
    }
}

impl Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_numbers_are_known() {
        let all = [
            Refusal::Conflict,
            Refusal::TooLarge,
            Refusal::Quota,
            Refusal::NotAllowed,
            Refusal::Unavailable,
            Refusal::TimedOut,
            Refusal::Invalid,
        ];
        for refusal in all {
            assert_eq!(Refusal::check(refusal.code()), Err(refusal));
        }
        assert_eq!((Refusal::check(-1), Refusal::check(0), Refusal::check(7)), (Ok(None), Ok(Some(0)), Ok(Some(7))));
        assert_eq!(Refusal::check(-99), Err(Refusal::Unavailable));
    }
}
