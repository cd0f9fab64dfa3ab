//! Faults that are done to real processes from outside, for tests and for `fusebox chaos`: the processes are as they are
//! shipped and know nothing of it.
//!
//! | module | holds |
//! |---|---|
//! | [`proxy`] | a TCP proxy between two processes that does what networks do: delays, black holes, lost answers, resets |
//! | [`wall_clock`] | a wall clock of one process's own, which can be set while it runs |

pub mod proxy;
pub mod wall_clock;
