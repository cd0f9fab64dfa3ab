//! Decoding of a task's `state`, which each step writes. Independent of the keys.
//!
//! The letters of a state, with dashes in place of an absent value:
//!
//! | letters | meaning |
//! |---|---|
//! | 1 | `Q` queued, `D` delayed, `R` running, `B` running with a renewed lease, `C` completed, `F` failed |
//! | 2 to 33 | number of attempts so far, of 10 digits, and the token of the last: what a report must prove |
//! | 34 to 49 | time at which it is due; while it runs, the time of the lease; then the time of its end |
//! | 50 to 65 | end of its last lease; once it has ended, the bytes that are counted for it |
//! | 66 to 87 | worker that held its last lease |
//! | 88 and on | number of releases, each of which allows one more attempt |

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    id::{Attempt, LeaseToken, TaskId, WorkerId},
    task::{EndRecord, Lease, TaskState},
    time::Millis,
};

use super::records::{self, NONE};
use crate::{Error, Result};

/// Parts of a task's state.
pub(super) struct State {
    letter: char,
    /// Number of attempts so far.
    pub(super) attempt: Attempt,
    token: Option<LeaseToken>,
    since: Millis,
    lease: Option<(Millis, WorkerId)>,
    /// Number of releases.
    pub(super) releases: u32,
}

impl State {
    /// Returns the state of a task that no step has changed since its acceptance.
    pub(super) const fn new(created_at: Millis) -> Self {
        Self { letter: 'Q', attempt: 0, token: None, since: created_at, lease: None, releases: 0 }
    }

    /// Reads a state.
    pub(super) fn read(id: TaskId, text: &str) -> Result<Self> {
        let bad = |name: &str| Error::Corrupt(format!("{id}: {name}"));
        let part = |from: usize, to: usize, name: &str| text.get(from..to).ok_or_else(|| bad(name));
        let number = |text: &str, name: &str| text.parse::<u64>().map_err(|_| bad(name));
        let bytes = |text: &str, name: &str| -> Result<Option<[u8; 16]>> {
            match text.starts_with(NONE) && text.ends_with(NONE) && text.bytes().all(|letter| letter == b'-') {
                true => Ok(None),
                false => {
                    BASE64.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(Some).ok_or_else(|| bad(name))
                }
            }
        };
        let lease_until = part(49, 65, "lease end")?;
        let worker = bytes(part(65, 87, "worker")?, "worker")?.map(WorkerId::from_bytes);
        Ok(Self {
            letter: text.chars().next().ok_or_else(|| bad("state"))?,
            attempt: part(1, 11, "attempt")?.parse().map_err(|_| bad("attempt"))?,
            token: bytes(part(11, 33, "token")?, "token")?.map(LeaseToken),
            since: Millis(number(part(33, 49, "since")?, "since")?),
            lease: worker
                .map(|worker| Ok::<_, Error>((Millis(number(lease_until, "lease end")?), worker)))
                .transpose()?,
            releases: part(87, text.len(), "releases")?.parse().map_err(|_| bad("releases"))?,
        })
    }

    /// Returns the state, with the receipt and the failure of a task that has ended.
    pub(super) fn decode(self, id: TaskId, receipt: Option<&str>, error: Option<&str>) -> Result<TaskState> {
        let Self { letter, attempt, token, since, lease, .. } = self;
        let bad = |name: &str| Error::Corrupt(format!("{id}: {name}"));
        let ended =
            || Ok::<_, Error>(EndRecord { at: since, token, receipt: records::read_receipt(id, attempt, receipt)? });
        Ok(match letter {
            'Q' | 'D' => TaskState::Queued { not_before: since },
            'R' | 'B' => match (lease, token) {
                (Some((expires_at, worker)), Some(token)) => {
                    TaskState::Running(Lease { worker, token, started_at: since, expires_at, renewed: letter == 'B' })
                }
                _ => return Err(bad("lease")),
            },
            'C' => TaskState::Completed(ended()?),
            'F' => TaskState::Failed(error.and_then(records::read_failure).ok_or_else(|| bad("error"))?, ended()?),
            _ => return Err(bad("state")),
        })
    }
}
