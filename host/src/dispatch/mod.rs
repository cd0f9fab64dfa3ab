//! Moves tasks from the store to workers and their ends back. Decisions are `fusebox_core::dispatch`'s; this is its I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`driver`] | performs effects, turns answers into events; owns its channels |
//! | [`attempts`] | what the driver holds of each leased attempt: token, input, stop flag, report |
//! | [`local`] | slots in this process as a worker |
//! | [`short`] | the short path of sync invokes |
//! | [`missing`] | modules whose compiled artifact is missing |
//! | [`upkeep`] | asks the store to do what time asks for |
//!
//! Knows nothing of REST; they meet in the store.

pub mod attempts;
pub mod driver;
pub mod local;
pub mod missing;
pub mod short;
pub mod upkeep;
