//! The operating system's clocks and randomness, read in this crate alone, so that everything else can be given a time
//! and a number by a test.

pub mod clock;
pub mod random;
