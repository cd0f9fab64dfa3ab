//! Measures a case: warm-up, run, wait for the last end, and then a check of how every task ended.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use fusebox_api::tasks::{TaskView, Waited};
use fusebox_core::limits::{WAIT_RESULTS_BYTES_MAX, WAIT_TASKS_MAX};
use hyper::header::HeaderName;
use serde_json::json;

use super::{
    deployment::Deployment,
    guests::{Function, Work},
    http::Call,
    load::{self, Keep, Load, Pace, Sent, to_f64},
    plan::{BATCH, Case, Scenario},
    row::Row,
};

/// Time without progress after which a queue counts as stuck.
const STUCK: Duration = Duration::from_secs(60);
/// Most results of a case that are checked, which takes about two seconds; failures are also looked up among the dead
/// letters.
const CHECKED_MAX: usize = 100_000;
/// Runs of a function for each slot before it is measured.
const WARM_UP: u64 = 25;
const PREFER: HeaderName = HeaderName::from_static("prefer");
const COMPLETED: &str = "COMPLETED";

/// Measures a case once.
///
/// # Errors
/// Fails if the host does not answer, or a task does not end as expected.
pub(super) async fn once(deployment: &Deployment, case: &Case, work: Work, repeat: u32) -> anyhow::Result<Row> {
    let case = &Case { setting: deployment.setting, ..*case }.whole();
    let mut row = Row::of(case, repeat);
    row.ideal_seconds = ideal_seconds(case, work);
    let sent = send(deployment, case, work).await?;
    let mut ended = sent.answered;
    if !sent.tasks.is_empty() {
        ended = drained(deployment, sent.began).await?;
        row.accept_seconds = Some((sent.answered - sent.began).as_secs_f64());
    }
    row.seconds = (ended - sent.began).as_secs_f64();
    row.per_second = to_f64(case.tasks) / row.seconds;
    let percentile = |percent| sent.times.percentile_ms(percent);
    (row.p50_ms, row.p90_ms, row.p99_ms, row.max_ms) =
        (percentile(50.0), percentile(90.0), percentile(99.0), sent.times.max_ms());
    check(deployment, case, work, &sent).await?;
    Ok(row)
}

/// Runs a case's function a few times in each slot, so that its module is compiled, loaded and cached everywhere.
///
/// # Errors
/// Fails as [`once`] does.
pub(super) async fn warm(deployment: &Deployment, case: &Case, work: Work) -> anyhow::Result<()> {
    let slots = u64::from(deployment.setting.workers) * u64::from(deployment.setting.slots);
    let each = if case.scenario.is_rate() { WARM_UP } else { 2 };
    let tasks = (each * slots).min(case.tasks.max(slots));
    once(deployment, &Case { tasks, rate: None, ..*case }, work, 0).await.map(drop)
}

/// Time of the sleeps alone, in scaling scenarios.
fn ideal_seconds(case: &Case, work: Work) -> Option<f64> {
    let is_scaling = matches!(case.scenario, Scenario::Weak | Scenario::Strong) && case.function == Function::Sleep;
    let slots = u64::from(case.setting.workers) * u64::from(case.setting.slots);
    is_scaling.then(|| to_f64(case.tasks.div_ceil(slots.max(1)) * u64::from(work.sleep_ms)) / 1_000.0)
}

async fn send(deployment: &Deployment, case: &Case, work: Work) -> anyhow::Result<Sent> {
    let (mut requests, mut keep) = (case.tasks, Keep::Task);
    let calls = match case.scenario {
        Scenario::Memory => anyhow::bail!("the memory measurement sends no requests"),
        Scenario::Cost => Deployment::calls(case, "tasks", work)?,
        Scenario::Invoke => {
            keep = Keep::Nothing(case.function.output(work, case.payload).into());
            vec![Deployment::call(case, "invoke", work)?]
        }
        Scenario::Latency => {
            keep = Keep::Body;
            vec![Deployment::call(case, "tasks", work)?.with(PREFER, "wait=50")]
        }
        Scenario::Batch => {
            requests = case.tasks.div_ceil(BATCH as u64);
            keep = Keep::Tasks;
            vec![batch(case, work)?]
        }
        Scenario::Burst | Scenario::Weak | Scenario::Strong | Scenario::Payload => {
            vec![Deployment::call(case, "tasks", work)?]
        }
    };
    let pace = case.rate.map_or(Pace::Closed, |per_second| Pace::Open { per_second });
    let most = usize::try_from(requests).unwrap_or(usize::MAX);
    let connections = case.connections.clamp(1, most.max(1));
    Load { target: deployment.target.clone(), calls, keep, pace, requests, connections }.run().await
}

/// Creates a request with a batch.
fn batch(case: &Case, work: Work) -> anyhow::Result<Call> {
    let input = case.function.input(work, case.payload);
    let item = match std::str::from_utf8(&input) {
        Ok(text) => json!({"text": text}),
        Err(_) => json!({"input": STANDARD.encode(&input)}),
    };
    let items = vec![item; batch_size(case)];
    let path = format!("/v1/functions/{}/tasks/batch", case.function.name());
    Ok(Call::post(&path, serde_json::to_vec(&items)?)?.json())
}

fn batch_size(case: &Case) -> usize {
    usize::try_from(case.tasks).unwrap_or(BATCH).min(BATCH)
}

/// Waits until every task has ended, except those that stay queued; returns the time of the end.
///
/// Polls the length of the queue, which takes one step of the store regardless of its size. Reading each task would
/// cost more than many of these tasks do.
pub(super) async fn drained(deployment: &Deployment, began: Instant) -> anyhow::Result<Instant> {
    let (target, waiting) = (deployment.target.clone(), deployment.waiting);
    load::on_own_thread(move || async move {
        let mut connection = target.connect().await?;
        let call = Deployment::backlog_call()?;
        let (mut moved, mut looked, mut before) = (Instant::now(), Instant::now(), u64::MAX);
        loop {
            let all = backlog(&String::from_utf8_lossy(&connection.send(&call).await?.body))?;
            let left = all.saturating_sub(waiting);
            let now = Instant::now();
            if left == 0 {
                return Ok(now);
            }
            if left != before {
                moved = now;
            }
            let stuck = moved.elapsed() > STUCK;
            anyhow::ensure!(!stuck, "{left} tasks have not ended, and none has for {STUCK:?}");
            let pause = load::until_next_look(before.min(u64::MAX - 1), left, now - looked, began.elapsed());
            (looked, before) = (now, left);
            tokio::time::sleep(pause).await;
        }
    })
    .await
}

/// Number of ready, delayed and running tasks in a host's metrics.
fn backlog(metrics: &str) -> anyhow::Result<u64> {
    let of = |name: &str| {
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        lines
            .next()
            .and_then(|value| value.parse::<u64>().ok())
            .with_context(|| format!("the host's metrics lack {name}"))
    };
    Ok(of("fusebox_tasks_ready")? + of("fusebox_tasks_delayed")? + of("fusebox_tasks_running")?)
}

/// Checks that tasks ended as expected.
async fn check(deployment: &Deployment, case: &Case, work: Work, sent: &Sent) -> anyhow::Result<()> {
    let output = STANDARD.encode(case.function.output(work, case.payload));
    for body in &sent.bodies {
        is_right(&serde_json::from_slice(body).context("the response is not a task")?, &output)?;
    }
    if sent.tasks.is_empty() {
        return Ok(());
    }
    anyhow::ensure!(sent.tasks.len() as u64 == case.tasks, "{} of {} tasks were created", sent.tasks.len(), case.tasks);
    let step = sent.tasks.len().div_ceil(CHECKED_MAX).max(1);
    let sample: Vec<&String> = sent.tasks.iter().step_by(step).collect();
    let fitting = usize::try_from(WAIT_RESULTS_BYTES_MAX).unwrap_or(usize::MAX) / output.len().max(1);
    for ids in sample.chunks(fitting.clamp(1, WAIT_TASKS_MAX)) {
        let call = Call::post("/v1/tasks/wait", Bytes::from(json!({"tasks": ids}).to_string()))?.json();
        let mut connection = deployment.target.connect().await?;
        let waited: Waited = connection.send(&call).await?.json()?;
        anyhow::ensure!(waited.missing.is_empty(), "{} tasks no longer exist", waited.missing.len());
        anyhow::ensure!(waited.items.len() == ids.len(), "{} of {} tasks were returned", waited.items.len(), ids.len());
        waited.items.iter().try_for_each(|task| is_right(task, &output))?;
    }
    let failed =
        deployment.client.dead_letters(deployment.functions.get(&case.function).map(String::as_str), 1).await?;
    match failed.first() {
        Some(task) => is_right(task, &output),
        None => Ok(()),
    }
}

fn is_right(task: &TaskView, output: &str) -> anyhow::Result<()> {
    let why = task.error.as_ref().map(|error| format!(": {}: {}", error.code, error.message)).unwrap_or_default();
    anyhow::ensure!(task.status == COMPLETED, "task {} is {} instead of COMPLETED{why}", task.id, task.status);
    let is_same = task.result.as_deref() == Some(output);
    anyhow::ensure!(is_same, "task {} returned an unexpected result", task.id);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_is_what_waits_and_what_runs() {
        let metrics =
            "# HELP fusebox_tasks_ready x\nfusebox_tasks_ready 3\nfusebox_tasks_delayed 0\nfusebox_tasks_running 4\n";
        assert_eq!(backlog(metrics).unwrap(), 7);
        assert!(backlog("fusebox_tasks_ready 3\n").is_err());
    }
}
