//! Reasons why a guest's request failed, each with a counter, a message for the host's log, and the number that the
//! guest receives.

use std::sync::atomic::{AtomicU64, Ordering};

use fusebox_core::{capability::Refusal, http::MessageError};

/// Reason why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Egress is turned off.
    #[error("requests of guests are turned off: start this host or worker with --egress on")]
    Off,
    /// The request is malformed.
    #[error("{0}")]
    Invalid(&'static str),
    /// The request has not the form of a message.
    #[error(transparent)]
    Message(#[from] MessageError),
    /// The function has no grant for this host.
    #[error("the function has no grant for {0}: deploy it with --grant http={0}")]
    Host(String),
    /// The port belongs to a protocol other than HTTP.
    #[error("port {0} is blocked, as by browsers: it is not a web server's")]
    Port(u16),
    /// The operator denies this host or its address.
    #[error("{0} is denied by this host's or worker's --egress-deny {1}")]
    Denied(String, String),
    /// The host has an address that guests may not reach.
    #[error("{host} has an address that is {kind}: to allow it, start this host or worker with --egress-allow-private")]
    Address {
        /// The host.
        host: String,
        /// Kind of its address.
        kind: &'static str,
    },
    /// The limit of concurrent requests is reached.
    #[error("too many requests are in progress")]
    Busy,
    /// The response is too large.
    #[error("the answer is too large")]
    TooLarge,
    /// The name does not resolve, the connection fails, or the response is not HTTP.
    #[error("{host} does not answer: {reason}")]
    Unreachable {
        /// The host.
        host: String,
        /// Error of the resolver, the connection or the HTTP client.
        reason: String,
    },
    /// No complete response arrived in time.
    #[error("no complete answer arrived in time")]
    TimedOut,
    /// The run was stopped while it waited for the response.
    #[error("the run was stopped")]
    Stopped,
}

impl Refused {
    /// Returns the error that the guest receives.
    #[must_use]
    pub const fn refusal(&self) -> Refusal {
        match self {
            Self::Off | Self::Host(_) | Self::Port(_) | Self::Denied(..) | Self::Address { .. } => Refusal::Refused,
            Self::Invalid(_) | Self::Message(_) => Refusal::Invalid,
            Self::Busy | Self::Unreachable { .. } | Self::Stopped => Refusal::Unavailable,
            Self::TooLarge => Refusal::TooLarge,
            Self::TimedOut => Refusal::TimedOut,
        }
    }

    /// Returns the index of the reason in [`REASONS`].
    const fn reason(&self) -> usize {
        match self {
            Self::Off => 0,
            Self::Invalid(_) | Self::Message(_) => 1,
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

/// Labels of the reasons in metrics.
pub const REASONS: [&str; 11] =
    ["off", "invalid", "host", "address", "busy", "too-large", "unreachable", "timed-out", "stopped", "port", "denied"];

/// Counters of guests' requests.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that got a response.
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

    /// Returns the number of failed requests by reason.
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
