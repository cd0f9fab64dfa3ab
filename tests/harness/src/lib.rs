//! Starts real `fusebox` processes for black-box tests. It is given the path of the binary and speaks REST to it; it
//! knows nothing of the host's code.
//!
//! | module | holds |
//! |---|---|
//! | [`program`] | a child process that says when it is ready |
//! | [`process`] | a whole host as a child process: start, kill, drain, restart on the same store |
//! | [`client`] | a small REST client that tests can be written in |
//! | [`guests`] | small modules written as text, one trick each |
//! | [`namespace`] | a network of its own for a process, with a cable to pull |
//! | [`proxy`] | a TCP proxy that does what networks do: delays, black holes, resets |
//! | [`redis`] | real Redis servers: one, behind a Sentinel, a Cluster |
//! | [`web`] | a web server for guests to send requests to |
//! | [`mod@eventually`] | waiting for a condition with a deadline |

pub mod client;
pub mod eventually;
pub mod guests;
pub mod namespace;
pub mod process;
pub mod program;
pub mod proxy;
pub mod redis;
pub mod web;

pub use client::{Answer, Client};
pub use eventually::eventually;
pub use process::{Server, ServerOptions};
pub use program::Program;
pub use web::Web;
