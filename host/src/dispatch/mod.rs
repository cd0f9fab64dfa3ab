//! I/O of the dispatcher: moves tasks from the store to workers and their ends back. All decisions are made in
//! `fusebox_core::dispatch`.
//!
//! | module | holds |
//! |---|---|
//! | [`driver`], [`answers`], [`perform`], [`links`] | the driver: turns inputs into events and performs effects |
//! | [`attempts`] | the driver's data of each leased attempt: token, input, stop flag, report |
//! | [`local`] | slots of this process as a worker |
//! | [`gateway`], [`remote`] | workers of other processes: their admission, and their state in the driver |
//! | [`closing`] | closes the port to workers without a join token |
//! | [`short`], [`stored`] | synchronous invocations: the short path, and as tasks |
//! | [`crew`] | presence of dispatchers and workers, for waiting invocations |
//! | [`store_calls`], [`calls`] | host calls of runs, here and in other processes |
//! | [`quotas`] | quotas of running attempts and fuel |
//! | [`pieces`] | modules for workers that lack them |
//! | [`missing`] | modules without a compiled artifact |
//! | [`upkeep`] | periodic maintenance of the store |
//!
//! Knows nothing of REST; the two meet in the store.

pub mod answers;
pub mod attempts;
pub mod calls;
pub mod closing;
pub mod crew;
pub mod driver;
pub mod gateway;
pub mod links;
pub mod local;
pub mod missing;
pub mod perform;
pub mod pieces;
pub mod quotas;
pub mod remote;
pub mod short;
mod spent;
pub mod store_calls;
pub mod stored;
pub mod upkeep;
