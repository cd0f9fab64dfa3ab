//! Starts real `fusebox` processes for black-box tests. It is given the path of the binary and speaks REST to it; it
//! knows nothing of the host's code.
//!
//! | module | holds |
//! |---|---|
//! | [`process`] | `fusebox` as child processes: start, pause, kill, drain, restart on the same store |
//! | [`client`] | a small REST client that tests can be written in |
//! | [`guests`] | small modules written as text, one trick each |
//! | [`redis`] | real Redis servers: one, behind a Sentinel, a Cluster |
//! | [`mod@eventually`] | waiting for a condition with a deadline |

pub mod client;
pub mod eventually;
pub mod guests;
pub mod process;
pub mod redis;

pub use client::{Answer, Client};
pub use eventually::eventually;
pub use process::{Process, Server, ServerOptions};
