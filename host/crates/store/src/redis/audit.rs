//! Compares records with the indexes in small steps and restores missing entries, after a key was removed by hand or an
//! error of Redis interrupted a step.

use std::sync::{Mutex, PoisonError};

use super::{answers, caller::Caller, keys::Place};
use crate::Result;

/// Number of keys per step, one step with each tick: occupies Redis for about 1 ms, and covers a million tasks in about
/// an hour.
const KEYS: u64 = 50;
const START: &str = "0";

/// Repairs made by an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Number of queued tasks that were indexed again.
    pub requeued: u64,
    /// Number of running tasks whose lease was made to lapse now.
    pub lapsing: u64,
}

/// Progress of the audit in each partition.
pub(super) struct Audit {
    cursors: Vec<(Place, Mutex<String>)>,
}

impl Audit {
    /// Starts at the beginning of each partition.
    pub(super) fn new(caller: &Caller) -> Self {
        let places = caller.layout().places();
        Self { cursors: places.map(|place| (place, Mutex::new(START.to_owned()))).collect() }
    }

    /// Audits the next keys of each partition.
    pub(super) async fn step(&self, caller: &Caller) -> Result<Audited> {
        let steps = self.cursors.iter().map(|(place, cursor)| async move {
            let from = cursor.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (next, audited) = some(caller, *place, &from).await?;
            *cursor.lock().unwrap_or_else(PoisonError::into_inner) = next;
            Result::Ok(audited)
        });
        Ok(sum(futures_util::future::try_join_all(steps).await?))
    }

    /// Audits every key.
    pub(super) async fn all(&self, caller: &Caller) -> Result<Audited> {
        let mut audited = Vec::new();
        for (place, _) in &self.cursors {
            let mut cursor = START.to_owned();
            loop {
                let (next, some) = some(caller, *place, &cursor).await?;
                audited.push(some);
                if next == START {
                    break;
                }
                cursor = next;
            }
        }
        Ok(sum(audited))
    }
}

async fn some(caller: &Caller, place: Place, cursor: &str) -> Result<(String, Audited)> {
    let answer = caller.ask(caller.call(place, "audit").arg(cursor).arg(KEYS)).await?;
    let [next, requeued, lapsing] = answers::tuple(answer)?;
    let audited = Audited { requeued: answers::number(requeued)?, lapsing: answers::number(lapsing)? };
    if audited != Audited::default() {
        let Audited { requeued, lapsing } = audited;
        tracing::warn!(
            redis = caller.shown_at(place),
            requeued,
            lapsing,
            "restored tasks that were missing from the indexes"
        );
    }
    Ok((answers::text(next)?, audited))
}

fn sum(parts: Vec<Audited>) -> Audited {
    parts.into_iter().fold(Audited::default(), |sum, part| Audited {
        requeued: sum.requeued + part.requeued,
        lapsing: sum.lapsing + part.lapsing,
    })
}
