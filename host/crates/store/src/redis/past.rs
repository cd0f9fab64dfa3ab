//! Decoding of the attempts of a task that were over without a report of their end, as the library notes them in the field
//! `past`, each in as many letters:
//!
//! | letters | meaning |
//! |---|---|
//! | 1 to 10 | number of the attempt |
//! | 11 to 54 | worker and dispatcher, with dashes in place of one that is not known |
//! | 55 to 86 | time of the lease, and of its end |
//! | 87 | `L` lost, `R` released, `X` lapsed, `C` cancelled |

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    id::{DispatcherId, TaskId, WorkerId},
    task::{PastAttempt, Why},
    time::Millis,
};

use crate::{Error, Result};

/// Letters of one attempt.
const LETTERS: usize = 87;

/// Reads the attempts of a task.
///
/// # Errors
/// [`Error::Corrupt`] if the text is not made of attempts.
pub(super) fn read(id: TaskId, text: &str) -> Result<Vec<PastAttempt>> {
    let attempts = text.as_bytes().chunks(LETTERS).map(|one| std::str::from_utf8(one).ok().and_then(read_one));
    attempts.collect::<Option<_>>().ok_or_else(|| Error::Corrupt(format!("{id}: past attempts")))
}

fn read_one(text: &str) -> Option<PastAttempt> {
    let id = |from: usize| -> Option<[u8; 16]> { BASE64.decode(text.get(from..from + 22)?).ok()?.try_into().ok() };
    let time = |from: usize| Some(Millis(text.get(from..from + 16)?.parse().ok()?));
    Some(PastAttempt {
        attempt: text.get(..10)?.parse().ok()?,
        worker: WorkerId::from_bytes(id(10).unwrap_or_default()),
        dispatcher: id(32).map(DispatcherId::from_bytes),
        started_at: time(54)?,
        ended_at: time(70)?,
        why: match text.get(86..)? {
            "L" => Why::Lost,
            "R" => Why::Released,
            "X" => Why::Lapsed,
            "C" => Why::Cancelled,
            _ => return None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_are_read_as_they_are_noted_and_nothing_else_is() {
        let (id, sevens, none) = (TaskId::from_bytes([1; 16]), "BwcHBwcHBwcHBwcHBwcHBw", "-".repeat(22));
        let one = |by: &str, letter: &str| format!("{:010}{sevens}{by}{:016}{:016}{letter}", 2, 5, 6);
        let text = one(sevens, "L") + &one(&none, "X");
        let worker = WorkerId::from_bytes([7; 16]);
        let lost = PastAttempt {
            attempt: 2,
            worker,
            dispatcher: Some(DispatcherId::from_bytes([7; 16])),
            started_at: Millis(5),
            ended_at: Millis(6),
            why: Why::Lost,
        };
        assert_eq!(read(id, &text).unwrap(), [lost, PastAttempt { dispatcher: None, why: Why::Lapsed, ..lost }]);
        assert_eq!(read(id, "").unwrap(), []);
        for bad in [&text[..86], &one(sevens, "?"), &one("é", "L"), "x"] {
            assert!(matches!(read(id, bad), Err(Error::Corrupt(_))), "{bad}");
        }
    }
}
