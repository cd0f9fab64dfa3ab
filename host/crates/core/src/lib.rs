//! The decisions of Fusebox, without I/O.
//!
//! `no_std` is the point: a clock, a socket, a thread or an environment variable in here does not compile. Time and
//! random bytes are arguments.
//!
//! | module | holds |
//! |---|---|
//! | [`id`] | ids of everything that is named by a machine |
//! | [`name`] | names chosen by people: tenants and functions |
//! | [`time`] | [`time::Millis`]; time is always an argument |
//! | [`limits`] | every bound of the system, with the reason for its number |
//! | [`capability`] | what a guest may ask for beyond its own run, and what it takes to be granted that |
//! | [`function`] | a function version and the limits of its runs |
//! | [`task`] | a task and its states; each state carries only the data valid in it |
//! | [`lifecycle`] | the only legal transitions of a task; the attempt number is the fence |
//! | [`outcome`] | how a run ended, and its receipt |
//! | [`quota`] | what a tenant may take of a host |
//! | [`error`] | stable error codes |
//! | [`dispatch`] | the dispatcher: events and time go in, effects come out |
//! | [`wire`] | what dispatcher and workers say to each other |
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod capability;
pub mod dispatch;
pub mod error;
pub mod function;
pub mod id;
pub mod lifecycle;
pub mod limits;
pub mod name;
pub mod outcome;
pub mod quota;
pub mod task;
pub mod time;
pub mod wire;
