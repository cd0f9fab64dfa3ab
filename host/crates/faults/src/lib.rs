//! Faults injected into real processes from outside, for tests and for `fusebox chaos`. The processes are the shipped
//! binaries, without hooks for faults.
//!
//! | module | holds |
//! |---|---|
//! | [`proxy`] | a TCP proxy between two processes that injects faults: delays, black holes, lost answers, resets |
//! | [`small_disk`] | a small disk that can be filled |
//! | [`wall_clock`] | a wall clock for a single process, which can be set while it runs |

pub mod proxy;
pub mod small_disk;
pub mod wall_clock;
