//! Health of a process: liveness, readiness and metrics.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Request for one aspect of a process's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Liveness.
    Alive,
    /// Readiness.
    Ready,
    /// Metrics in the OpenMetrics text format.
    Metrics,
}

impl Probe {
    /// Returns the letter that stands for the request between processes.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Alive => b'a',
            Self::Ready => b'r',
            Self::Metrics => b'm',
        }
    }

    /// Returns the request for a letter.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        [Self::Alive, Self::Ready, Self::Metrics].into_iter().find(|asked| asked.byte() == byte)
    }
}

/// Answer: the text requested, or the reason why the process is not well.
pub type ProbeResult = Result<String, Unhealthy>;

/// Reason why a process is not ready, or cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct Unhealthy(pub String);

/// Process that reports its health.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Returns the requested text; for liveness, a word for people, for readiness, the warnings, separated by spaces.
    async fn tell(&self, asked: Probe) -> ProbeResult;
}
