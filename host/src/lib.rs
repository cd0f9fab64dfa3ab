//! The Fusebox host: everything with I/O. Decisions are in `fusebox-core`, guests run in `fusebox-sandbox`.

pub mod clock;
pub mod dispatch;
pub mod invoke;
pub mod modules;
pub mod random;
pub mod rest;
pub mod store;
pub mod telemetry;
pub mod tenancy;
pub mod worker;
