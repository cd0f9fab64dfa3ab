//! Reports on tasks: lease renewals, ends and cancellations; and the tick.

use fusebox_core::{error::ErrorCode, id::TaskId, lifecycle::Next, name::TenantId, outcome::Ended, task::Status};
use fusebox_system::random;
use futures_util::future;
use redis::Value;

use super::{
    answers, batches,
    caller::{Call, Caller},
    keys::Place,
    records,
};
use crate::{Cancelled, Claim, Finish, Finished, Renewal, Result, Ticked, Verdict};

/// Largest number of tasks of each kind in one call of the tick, which delays other callers for a few milliseconds.
const TICK_TASKS_MAX: u64 = 200;
/// Largest number of calls of one tick to one partition: 5,000 tasks of each kind, so that purging keeps up with the
/// ends.
const TICK_CALLS_MAX: usize = 25;

/// Renews leases; returns the answers in their order.
pub(super) async fn renew(caller: &Caller, claims: &[Claim], lease_ms: u64) -> Result<Vec<Renewal>> {
    let call = |batch: &batches::Batch| {
        let call = caller.call(batch.place, "beat").arg(lease_ms).arg(records::token(&random::lease_token()));
        batch.items.iter().fold(call, |call, item| claim(call, &claims[*item]))
    };
    let sizes = claims.iter().map(|claim| (claim.task, 0));
    batches::perform_all(caller, sizes, call, |answer| {
        Ok(if answers::number(answer)? == 1 { Renewal::Renewed } else { Renewal::Lost })
    })
    .await
}

/// Records reports; returns the answers in their order.
pub(super) async fn finish(caller: &Caller, reports: &[Finish]) -> Result<Vec<Finished>> {
    let call = |batch: &batches::Batch| {
        let call = caller.call(batch.place, "finish");
        batch.items.iter().fold(call, |call, item| row(call, &reports[*item]))
    };
    let sizes = reports.iter().map(|report| match &report.verdict {
        Verdict::End(ended) => (report.claim.task, ended.output.len() + ended.log.len()),
        Verdict::Retry { .. } | Verdict::Release => (report.claim.task, 0),
    });
    batches::perform_all(caller, sizes, call, finished).await
}

fn claim(call: Call, claim: &Claim) -> Call {
    call.arg(claim.task.to_string()).arg(records::fence(&claim.fence))
}

fn row(call: Call, report: &Finish) -> Call {
    let call = claim(call, &report.claim);
    let (verdict, delay) = match &report.verdict {
        Verdict::End(ended) => {
            let Ended { failure, output, log, .. } = ended;
            let receipt = records::receipt(&ended.measured());
            // Most ends; a report of its own form is shorter.
            if failure.is_none() && log.is_empty() && !output.is_empty() {
                return call.arg("ok").arg(&output[..]).arg(receipt);
            }
            let dead = failure.as_ref().is_some_and(|failure| failure.code != ErrorCode::Cancelled);
            let failure = failure.as_ref().map(records::failure).unwrap_or_default();
            let call = call.arg(if dead { "dead" } else { "end" }).arg(&output[..]).arg(receipt);
            return call.arg(&log[..]).arg(failure);
        }
        Verdict::Retry { delay_ms } => ("retry", *delay_ms),
        Verdict::Release => ("release", 0),
    };
    call.arg(verdict).arg(delay).args(["", "", ""])
}

fn finished(answer: Value) -> Result<Finished> {
    let word = answers::text(answer)?;
    Ok(match (word.as_str(), ended(&word)) {
        (_, Some(status)) => Finished::Ended(status),
        ("QUEUED", _) => Finished::Requeued,
        ("DUPLICATE", _) => Finished::Duplicate,
        ("STALE", _) => Finished::Stale,
        _ => return Err(answers::unexpected("finish")),
    })
}

fn ended(word: &str) -> Option<Status> {
    [Status::Completed, Status::Failed].into_iter().find(|status| status.as_str() == word)
}

/// Cancels a task.
pub(super) async fn cancel(caller: &Caller, tenant: &TenantId, task: TaskId) -> Result<Cancelled> {
    let call = caller.call(caller.layout().of(task), "cancel").arg(tenant.as_str()).arg(task.to_string());
    let [word, worker] = answers::tuple(caller.ask(call.once()).await?)?;
    let (word, worker) = (answers::text(word)?, answers::text(worker)?);
    Ok(match (word.as_str(), ended(&word)) {
        (_, Some(status)) => Cancelled::Ended(status),
        ("CANCELLED", _) => Cancelled::Cancelled { worker: records::read_worker(&worker) },
        ("NONE", _) => Cancelled::NotFound,
        _ => return Err(answers::unexpected("cancel")),
    })
}

/// Performs the work that is due, in every partition.
pub(super) async fn tick(caller: &Caller) -> Result<Ticked> {
    let mut ticked = Ticked::default();
    for part in future::try_join_all(caller.layout().places().map(|place| tick_place(caller, place))).await? {
        ticked.lapsed.extend(part.lapsed);
        ticked.promoted += part.promoted;
        ticked.expired += part.expired;
        ticked.purged += part.purged;
    }
    Ok(ticked)
}

async fn tick_place(caller: &Caller, place: Place) -> Result<Ticked> {
    let mut ticked = Ticked::default();
    for _ in 0..TICK_CALLS_MAX {
        let answer = caller.ask(caller.call(place, "tick").arg(TICK_TASKS_MAX)).await?;
        let [more, promoted, expired, purged, lapsed] = answers::tuple(answer)?;
        ticked.promoted += answers::number(promoted)?;
        ticked.expired += answers::number(expired)?;
        ticked.purged += answers::number(purged)?;
        let mut lapsed = answers::list(lapsed)?.into_iter();
        while let (Some(task), Some(word)) = (lapsed.next(), lapsed.next()) {
            let task = answers::text(task)?.parse().map_err(|_| answers::unexpected("a task's id"))?;
            let next = if answers::text(word)? == Status::Queued.as_str() { Next::Queued } else { Next::Failed };
            ticked.lapsed.push((task, next));
        }
        if answers::number(more)? == 0 {
            break;
        }
    }
    Ok(ticked)
}
