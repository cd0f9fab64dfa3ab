//! Runs attempts: slots, and what fills them. Knows neither the store nor the dispatcher nor REST.
//!
//! | module | holds |
//! |---|---|
//! | [`slots`], [`runner`] | threads that run guests: in this process, or by another one |
//! | [`queues`] | who waits for them, tenants in turn |
//! | [`apart`] | processes that run guests for slots, each of one tenant and locked up |
//! | [`agent`] | a worker of its own process: its link to a dispatcher, over and over |
//! | [`joining`] | how it gets a link: which dispatcher it tries next, and when |
//! | [`held`] | the attempts it holds, their reports until those are recorded |
//! | `pace` | how often it beats and tries again |
//! | [`outside`] | what its runs ask the dispatcher for |
//! | [`appetite`] | how many attempts it wants to hold |
//! | [`wasm`], `fetch` | modules that it has not got: fetched in pieces, as artifacts or compiled here, then run |

pub mod agent;
pub mod apart;
pub mod appetite;
mod fetch;
pub mod held;
pub mod joining;
pub mod outside;
mod pace;
pub mod queues;
pub mod runner;
pub mod slots;
pub mod wasm;

/// What people call this process: its machine and its number.
#[must_use]
pub fn name() -> String {
    let machine = rustix::system::uname();
    format!("{}/{}", machine.nodename().to_string_lossy(), std::process::id())
}
