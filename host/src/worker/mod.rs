//! Runs attempts: slots, and the sources of their jobs. Knows neither the store nor the dispatcher nor REST.
//!
//! | module | holds |
//! |---|---|
//! | [`slots`], [`runner`] | threads that run guests, in this process or through another one |
//! | [`queues`] | fair queues in front of the slots |
//! | [`isolate`] | jailed processes that run guests for slots, each of one tenant |
//! | [`agent`] | the worker of a process of its own, with its link to a dispatcher |
//! | [`joining`] | choice of a dispatcher, and pauses between tries |
//! | [`held`] | attempts held, and their reports until they are recorded |
//! | `pace` | intervals of heartbeats and retries |
//! | [`link_calls`] | host calls of runs, passed to the dispatcher |
//! | [`prefetch`] | number of attempts to prefetch |
//! | [`wasm`], `fetch` | missing modules: fetched in pieces as artifacts, or as wasm and compiled here |

pub mod agent;
mod fetch;
pub mod held;
pub mod isolate;
pub mod joining;
pub mod link_calls;
mod pace;
pub mod prefetch;
pub mod queues;
pub mod runner;
pub mod slots;
pub mod wasm;

/// Returns the display name of this process: host name and process id.
#[must_use]
pub fn name() -> String {
    let machine = rustix::system::uname();
    format!("{}/{}", machine.nodename().to_string_lossy(), std::process::id())
}
