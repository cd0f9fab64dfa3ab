//! Logs, metrics and health of a process. [`metrics`] reads counters of `transport` and `egress` and the `store`'s
//! backlog; the other modules know no part of the host.

pub mod health;
pub mod logs;
pub mod metrics;
pub mod vitals;
