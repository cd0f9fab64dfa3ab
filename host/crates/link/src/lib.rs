//! Encrypted message link between a dispatcher and its workers: whole messages, in order, in both directions, over one
//! TCP connection. nng frames the messages and Noise encrypts them.
//!
//! A peer without the join token only reaches the handshake: a few fixed-size reads, bounded in time and number. A peer
//! with the token gets a [`Link`]. A link lives as long as its connection and never reconnects, so that no message
//! queued for one peer can reach another; the worker joins again instead. A message that was sent may not have arrived:
//! correctness rests on the leases and acknowledgements of the layer above, and heartbeats detect a peer that
//! disappears silently.

mod admission;
mod connect;
mod frame;
mod handshake;
mod link;
mod listener;
mod log_limiter;
mod pair;
mod seal;
#[cfg(test)]
mod tests;
mod token;

use std::{ops::RangeInclusive, sync::atomic::AtomicU64, time::Duration};

use fusebox_core::wire::{PROTOCOL, PROTOCOL_OLDEST};

pub use self::{
    admission::Admission,
    connect::{ConnectError, Dial, Direct, address, connect},
    link::{Link, LinkReceiver, LinkSender, SendError},
    listener::{BindError, Listener},
    log_limiter::LogLimiter,
    token::{BadToken, JoinToken},
};

/// Largest message, in bytes: the largest input, 6 MiB, and a batch beside it.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Versions of the protocol that this release speaks, of the messages and of this link: its own and that of the
/// previous release. A worker proposes its newest; the dispatcher accepts it or answers with its own newest, and the
/// worker connects again with that version if it speaks it. So both agree on the newest version that both speak. An
/// attacker on the network can at most force the older one.
const VERSIONS: RangeInclusive<u16> = PROTOCOL_OLDEST..=PROTOCOL;

/// Reason given to workers without a token by a host that has API keys.
pub const TOKEN_NEEDED: &str = "the host has API keys, so workers must authenticate: create a join token with \
     `openssl rand -hex 32`, and give it to dispatchers and workers by --join-token or FUSEBOX_JOIN_TOKEN";

/// Time limit of a handshake: three small messages over a bad long-distance line, including retransmissions.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Counters of connections and links, for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Number of workers that joined.
    pub accepted: AtomicU64,
    /// Number of connections that were refused: not the protocol, no common version, another token, or closed too
    /// early.
    pub refused_handshakes: AtomicU64,
    /// Number of connections that took too long to join, or were dropped to make room for newer ones.
    pub expired_handshakes: AtomicU64,
    /// Number of messages that the peer did not seal, or that arrived out of place; each closes its link.
    pub broken_messages: AtomicU64,
}
