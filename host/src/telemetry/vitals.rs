//! The health of a process: that it is alive, whether it takes work, and its metrics.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// A question to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Whether it is alive.
    Alive,
    /// Whether it takes work.
    Ready,
    /// Its metrics, in Prometheus' text format.
    Metrics,
}

impl Asked {
    /// Its letter, between processes of this program.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Alive => b'a',
            Self::Ready => b'r',
            Self::Metrics => b'm',
        }
    }

    /// The question of a letter.
    #[must_use]
    pub fn of(byte: u8) -> Option<Self> {
        [Self::Alive, Self::Ready, Self::Metrics].into_iter().find(|asked| asked.byte() == byte)
    }
}

/// The answer: what was asked for, or why it is not so.
pub type Told = Result<String, NotWell>;

/// Why a process does not take work, or cannot say what was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub struct NotWell(pub String);

/// A process that can be asked.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Answers; a word for people where nothing else is asked for.
    async fn tell(&self, asked: Asked) -> Told;
}
