//! Starts real `fusebox` processes for black-box tests. It takes the path of the binary and communicates over REST,
//! without any knowledge of the host's code.
//!
//! | module | provides |
//! |---|---|
//! | [`program`] | child process that reports when it is ready |
//! | [`process`] | complete host as a child process: start, kill, drain, restart on the same store |
//! | [`client`] | small REST client for tests |
//! | [`guests`] | small modules written as text, each with one behaviour |
//! | [`namespace`] | network namespace of a process, connected by a virtual cable that can be cut |
//! | [`proxy`], [`small_disk`], [`wall_clock`] | faults, shared with `fusebox chaos`: TCP proxy that injects network faults; disk that can be filled; clock that can be set |
//! | [`redis`] | real Redis servers: a single one, one with a Sentinel, a Cluster |
//! | [`web`] | web server that receives requests of guests |
//! | [`mod@eventually`] | waiting for a condition with a deadline |

pub mod client;
pub mod eventually;
pub mod guests;
pub mod namespace;
pub mod process;
pub mod program;
pub mod redis;
pub mod web;

pub use client::{Answer, Client};
pub use eventually::{eventually, eventually_blocking, stays_silent};
pub use fusebox_faults::{proxy, small_disk, wall_clock};
pub use process::{Server, ServerOptions};
pub use program::Program;
pub use web::Web;
