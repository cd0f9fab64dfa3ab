//! The encrypted message link between a dispatcher and its workers: whole messages, in order, both ways, over one TCP
//! connection that nng carries and Noise encrypts.
//!
//! A stranger meets only the handshake: a few fixed-size reads, bounded in time and number. Whoever knows the join token
//! gets a [`Link`]. A link lives as long as its connection and never reconnects, so that nothing queued for one peer can
//! reach another; joining again is the worker's business. That a message was sent does not mean that it arrived: leases
//! and acknowledgements above carry correctness, and heartbeats find a peer that is gone without a word.

mod admission;
mod connect;
mod frame;
mod handshake;
mod link;
mod listener;
mod pair;
mod seal;
mod seldom;
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
    seldom::Seldom,
    token::{BadToken, JoinToken},
};

/// The largest message: one input of 6 MiB, which is the largest, and a batch beside it.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// The versions that this release speaks, of the messages and of this link: its own, and that of the release before. A worker
/// says its newest; the dispatcher takes it, or answers with its own newest, and the worker comes again with that where it
/// speaks it. So the two find the newest that both speak. Somebody between the two can make them take the older one, and
/// nothing more.
const VERSIONS: RangeInclusive<u16> = PROTOCOL_OLDEST..=PROTOCOL;

/// The refusal of workers without a token by a host with keys.
pub const TOKEN_NEEDED: &str = "the host has API keys, so workers must prove that they belong to it: make a join token with \
     `openssl rand -hex 32`, and give it to dispatchers and workers by --join-token or FUSEBOX_JOIN_TOKEN";

/// What a handshake may take: three small messages over a bad long line, retransmissions included.
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// What happened to those who connected, to be shown as metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Workers that joined.
    pub accepted: AtomicU64,
    /// Connections that did not speak the protocol, or no version of it that is spoken here, or not with this token, or left too early.
    pub refused_handshakes: AtomicU64,
    /// Connections that took too long to join, or that had to make room for newer ones.
    pub expired_handshakes: AtomicU64,
    /// Messages on a link that its peer did not seal, or not for this place; each ends its link.
    pub broken_messages: AtomicU64,
}
