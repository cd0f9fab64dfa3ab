//! `wasi:http`, 0.2 and 0.3: one request, given as a message, and its response; and the requests that a guest sends.

mod desk;
mod message;
mod outgoing;
mod serve;

pub(super) use desk::{Asked, Desk};
pub(super) use outgoing::Hooks;
pub(super) use serve::serve;
