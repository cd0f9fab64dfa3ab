//! Limits the logging of events that may repeat: each text is logged at most once a minute.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Time after which the same text is logged again.
const AGAIN: Duration = Duration::from_secs(60);
/// Largest number of remembered texts; at it, no other text is logged.
const TEXTS_MAX: usize = 16;

/// Texts that were logged within the last minute.
#[derive(Debug, Default)]
pub struct LogLimiter(HashMap<String, Instant>);

impl LogLimiter {
    /// Returns true if `text` should be logged now.
    pub fn allows(&mut self, text: &str, now: Instant) -> bool {
        self.0.retain(|_, at| now.saturating_duration_since(*at) < AGAIN);
        if self.0.contains_key(text) || self.0.len() >= TEXTS_MAX {
            return false;
        }
        self.0.insert(text.to_owned(), now);
        true
    }

    /// Forgets all texts, so that they are logged again after the fault was fixed in between.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_logged_once_a_minute_and_texts_are_bounded() {
        let (mut seldom, now) = (LogLimiter::default(), Instant::now());
        assert!(seldom.allows("a", now) && !seldom.allows("a", now) && seldom.allows("b", now));
        assert!(seldom.allows("a", now + AGAIN));
        seldom.forget();
        let logged = (0..100).filter(|n| seldom.allows(&n.to_string(), now)).count();
        assert_eq!(logged, TEXTS_MAX);
    }
}
