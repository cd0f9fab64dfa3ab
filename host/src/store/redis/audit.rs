//! Compares records with the indexes, some at a time, and makes missing entries again: after someone removed a key, or a
//! step was broken off by an error of Redis.

use std::sync::{Mutex, PoisonError};

use super::{answers, caller::Caller, keys::Place};
use crate::store::Result;

/// Keys of one step, one with each tick: about 1 ms of Redis, and a million tasks in about an hour.
const KEYS: u64 = 50;
const START: &str = "0";

/// What an audit found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Waiting tasks that were put back in line.
    pub requeued: u64,
    /// Running tasks whose lease lapses now.
    pub lapsing: u64,
}

/// How far each partition is audited.
pub(super) struct Audit {
    cursors: Vec<(Place, Mutex<String>)>,
}

impl Audit {
    /// Nothing is audited yet.
    pub(super) fn new(caller: &Caller) -> Self {
        let places = caller.layout().places();
        Self { cursors: places.map(|place| (place, Mutex::new(START.to_owned()))).collect() }
    }

    /// Audits some more keys of each partition.
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
        tracing::warn!(redis = caller.shown(), requeued, lapsing, "tasks were in no index; put them back");
    }
    Ok((answers::text(next)?, audited))
}

fn sum(parts: Vec<Audited>) -> Audited {
    parts.into_iter().fold(Audited::default(), |sum, part| Audited {
        requeued: sum.requeued + part.requeued,
        lapsing: sum.lapsing + part.lapsing,
    })
}
