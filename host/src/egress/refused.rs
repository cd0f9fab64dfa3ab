//! Why a guest's request got no answer: a reason that is counted, a sentence for the host's log, and the number that the
//! guest sees.

use std::sync::atomic::{AtomicU64, Ordering};

use fusebox_core::capability::Refusal;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// This host sends no requests.
    #[error("requests of guests are turned off: start this host or worker with --egress on")]
    Off,
    /// The request is none.
    #[error("{0}")]
    Invalid(&'static str),
    /// The function was not granted this host.
    #[error("the function has no grant for {0}: deploy it with --grant http={0}")]
    Host(String),
    /// The port is another protocol's than HTTP.
    #[error("port {0} is not a web server's: browsers block it too")]
    Port(u16),
    /// The operator denies this host or its address.
    #[error("this host or worker is started with --egress-deny {1}, which denies {0}")]
    Denied(String, String),
    /// The host is at an address that no guest may reach.
    #[error(
        "{host} is at an address that is {kind}: start this host or worker with --egress-allow-private if it is meant"
    )]
    Address {
        /// The host.
        host: String,
        /// What its address is.
        kind: &'static str,
    },
    /// Too many requests are on their way.
    #[error("too many requests are on their way")]
    Busy,
    /// The answer is above its bound.
    #[error("the answer is too large")]
    TooLarge,
    /// There is no such host, it cannot be connected to, or what it says is no HTTP.
    #[error("{host} does not answer: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// What went wrong.
        reason: String,
    },
    /// No whole answer came in time.
    #[error("no whole answer came in time")]
    TimedOut,
    /// The run is over: it was stopped, and nobody waits for the answer.
    #[error("the run was stopped")]
    Stopped,
}

impl Refused {
    /// What the guest is told.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Off | Self::Host(_) | Self::Port(_) | Self::Denied(..) | Self::Address { .. } => Refusal::Refused,
            Self::Invalid(_) => Refusal::Invalid,
            Self::Busy | Self::Unreachable { .. } | Self::Stopped => Refusal::Unavailable,
            Self::TooLarge => Refusal::TooLarge,
            Self::TimedOut => Refusal::TimedOut,
        }
    }

    /// Which of [`REASONS`] this is.
    const fn reason(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Invalid(_) => 1,
            Self::Host(_) => 2,
            Self::Address { .. } => 3,
            Self::Busy => 4,
            Self::TooLarge => 5,
            Self::Unreachable { .. } => 6,
            Self::TimedOut => 7,
            Self::Stopped => 8,
            Self::Port(_) => 9,
            Self::Denied(..) => 10,
        }
    }
}

/// The reasons, as metrics name them.
pub const REASONS: [&str; 11] =
    ["off", "invalid", "host", "address", "busy", "too-large", "unreachable", "timed-out", "stopped", "port", "denied"];

/// What became of guests' requests.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that got an answer.
    pub answered: AtomicU64,
    refused: [AtomicU64; REASONS.len()],
}

impl Counters {
    pub(super) fn count<T>(&self, result: &Result<T, Refused>) {
        let counter = match result {
            Ok(_) => Some(&self.answered),
            Err(refused) => self.refused.get(refused.reason()),
        };
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Requests that got none, by reason.
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        REASONS.into_iter().zip(self.refused.iter().map(|counter| counter.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_name() {
        let counters = Counters::default();
        counters.count(&Ok(()));
        counters.count(&Err::<(), _>(Refused::Address { host: "a.org".to_owned(), kind: "private" }));
        counters.count(&Err::<(), _>(Refused::Stopped));
        counters.count(&Err::<(), _>(Refused::Stopped));
        assert_eq!(counters.answered.load(Ordering::Relaxed), 1);
        let counted: Vec<_> = counters.refused().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("address", 1), ("stopped", 2)]);
    }
}
