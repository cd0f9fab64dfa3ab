//! The Fusebox host: everything with I/O. Decisions are in `fusebox-core`, guests run in `fusebox-sandbox`.

pub mod clock;
pub mod random;
pub mod store;
