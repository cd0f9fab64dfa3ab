//! What operators see: logs, metrics, readiness. Knows nothing of what it observes.

pub mod health;
pub mod lines;
pub mod logs;
pub mod metrics;
pub mod vitals;
