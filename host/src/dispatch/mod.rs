//! Moves tasks from the store to workers and their ends back. Decisions are `fusebox_core::dispatch`'s; this is its I/O.
//!
//! | module | holds |
//! |---|---|
//! | [`driver`], [`answers`], [`perform`], [`links`] | the driver: what happens becomes events, effects are performed |
//! | [`attempts`] | what the driver holds of each leased attempt: token, input, stop flag, report |
//! | [`local`] | slots in this process as a worker |
//! | [`gateway`], [`remote`] | workers of other processes: their door, and how the driver sees them |
//! | [`closing`] | ends the time in which workers need no join token |
//! | [`short`], [`stored`] | sync invokes: the short path, and as tasks that their callers wait for |
//! | [`crew`] | whether anybody runs tasks, for those who wait for one |
//! | [`outside`], [`calls`] | what runs were granted to ask for, here and in other processes |
//! | [`quotas`] | what tenants may have under way |
//! | [`pieces`] | modules for workers that have not got them |
//! | [`missing`] | modules whose compiled artifact is missing |
//! | [`upkeep`] | asks the store to do what time asks for |
//!
//! Knows nothing of REST; they meet in the store.

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
pub mod outside;
pub mod perform;
pub mod pieces;
pub mod quotas;
pub mod remote;
pub mod short;
pub mod stored;
pub mod upkeep;
