//! Decoding of a task's `state`. Independent of the keys.
//!
//! The letters of a state, with dashes in place of an absent token:
//!
//! | letters | meaning |
//! |---|---|
//! | 1 | `Q` queued, `D` delayed, `C` completed, `F` failed |
//! | 2 to 33 | number of attempts so far, of 10 digits, and the token of the last: what a report must prove |
//! | 34 to 49 | time at which it is due, then the time of its end |
//! | 50, 51 | number of releases, each of which allows one more attempt |
//! | 52 to 64 | bytes that are counted for an ended task |
//!
//! So it is no longer than what Redis keeps in the compact form of a hash.
//!
//! No state is written while a task runs. The library makes one of its fence and its lease: the letter is `R`, or `B` once
//! the lease was renewed; the time is that of the lease; letters 52 to 111 are the end of the lease, its worker and its
//! dispatcher.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    id::{Attempt, DispatcherId, LeaseToken, TaskId, WorkerId},
    task::{EndRecord, Lease, TaskState},
    time::Millis,
};

use super::records::{self, NONE};
use crate::{Error, Result};

/// Returns true if the task of a state has ended.
pub(super) fn has_ended(state: &[u8]) -> bool {
    matches!(state, [b'C' | b'F', ..])
}

/// Parts of a task's state.
pub(super) struct State {
    letter: char,
    /// Number of attempts so far.
    pub(super) attempt: Attempt,
    token: Option<LeaseToken>,
    since: Millis,
    lease: Option<(Millis, WorkerId, Option<DispatcherId>)>,
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
        let releases = part(49, 51, "releases")?.parse().map_err(|_| bad("releases"))?;
        let lease = match text.get(51..) {
            Some(rest) if text.starts_with(['R', 'B']) && !rest.is_empty() => {
                let (until, worker) = (part(51, 67, "lease end")?, part(67, 89, "worker")?);
                let worker = bytes(worker, "worker")?.map_or(WorkerId::from_bytes([0; 16]), WorkerId::from_bytes);
                let dispatcher = text.get(89..111).map(|by| bytes(by, "dispatcher")).transpose()?.flatten();
                Some((Millis(number(until, "lease end")?), worker, dispatcher.map(DispatcherId::from_bytes)))
            }
            _ => None,
        };
        Ok(Self {
            letter: text.chars().next().ok_or_else(|| bad("state"))?,
            attempt: part(1, 11, "attempt")?.parse().map_err(|_| bad("attempt"))?,
            token: bytes(part(11, 33, "token")?, "token")?.map(LeaseToken),
            since: Millis(number(part(33, 49, "since")?, "since")?),
            lease,
            releases,
        })
    }

    /// Returns the state of the next attempt, which a lease starts.
    pub(super) const fn leased(self, lease: &Lease) -> Self {
        Self {
            letter: 'R',
            attempt: self.attempt.saturating_add(1),
            token: Some(lease.token),
            since: lease.started_at,
            lease: Some((lease.expires_at, lease.worker, lease.dispatcher)),
            releases: self.releases,
        }
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
                (Some((expires_at, worker, dispatcher)), Some(token)) => {
                    let (started_at, renewed) = (since, letter == 'B');
                    TaskState::Running(Lease { worker, dispatcher, token, started_at, expires_at, renewed })
                }
                _ => return Err(bad("lease")),
            },
            'C' => TaskState::Completed(ended()?),
            'F' => TaskState::Failed(error.and_then(records::read_failure).ok_or_else(|| bad("error"))?, ended()?),
            _ => return Err(bad("state")),
        })
    }
}
