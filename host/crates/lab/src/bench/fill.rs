//! Fills a deployment with data beside the measured tasks: functions, delayed tasks, and results that are never read.

use std::ops::Range;

use anyhow::Context as _;
use fusebox_api::functions::LimitParams;
use fusebox_core::function::Grants;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use serde_json::json;

use super::{
    deployment::Deployment,
    guests::{self, Function},
    http::Call,
    load::{Keep, Load, Pace},
    measure,
};

/// Tasks in a request.
const BATCH: u64 = 1_000;
/// Connections that send the requests.
const CONNECTIONS: usize = 4;
/// Concurrent registrations: a host compiles two modules at a time and queues a few more.
const REGISTRATIONS: usize = 4;
/// Delay of waiting tasks, longer than any measurement.
const DELAY_MS: u64 = 24 * 60 * 60 * 1_000;

/// Modules of the registered functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Modules {
    /// All functions share one module.
    Shared,
    /// Each function has its own module; they differ only in a custom section.
    Own,
}

/// Registers the no-ops with these numbers.
pub(super) async fn functions(
    deployment: &Deployment,
    numbers: Range<u64>,
    modules: Modules,
    bar: &ProgressBar,
) -> anyhow::Result<()> {
    let register = |number: u64| async move {
        let module = match modules {
            Modules::Shared => Function::NoOp.module().to_vec(),
            Modules::Own => own_module(number),
        };
        deployment
            .client
            .register(&guests::numbered(number), LimitParams::default(), &Grants::default(), module)
            .await?;
        bar.inc(1);
        anyhow::Ok(())
    };
    stream::iter(numbers).map(register).buffer_unordered(REGISTRATIONS).try_collect().await
}

/// Returns the no-op's module with an additional custom section that holds its number.
fn own_module(number: u64) -> Vec<u8> {
    let mut module = Function::NoOp.module().to_vec();
    // A custom section: its kind, its length, the length of its name, its name, its content.
    module.extend([0, 11, 2, b'n', b'o']);
    module.extend(number.to_le_bytes());
    module
}

/// Submits delayed tasks, and counts them as waiting in `deployment`.
pub(super) async fn waiting(deployment: &mut Deployment, count: u64, bar: &ProgressBar) -> anyhow::Result<()> {
    submit(deployment, count, Some(DELAY_MS), bar).await?;
    deployment.waiting += count;
    Ok(())
}

/// Submits tasks that stay queued, since the deployment has no workers.
pub(super) async fn queued(deployment: &mut Deployment, count: u64, bar: &ProgressBar) -> anyhow::Result<()> {
    submit(deployment, count, None, bar).await?;
    deployment.waiting += count;
    Ok(())
}

/// Submits tasks and waits until they have ended.
pub(super) async fn results(deployment: &Deployment, count: u64, bar: &ProgressBar) -> anyhow::Result<()> {
    let began = submit(deployment, count, None, bar).await?;
    measure::drained(deployment, began).await.map(drop)
}

async fn submit(
    deployment: &Deployment,
    count: u64,
    delay_ms: Option<u64>,
    bar: &ProgressBar,
) -> anyhow::Result<std::time::Instant> {
    let began = std::time::Instant::now();
    let mut left = count;
    // In several steps, so that the progress bar moves.
    while left > 0 {
        let size = left.min(BATCH);
        let requests = (left / size).min(20);
        let item = json!({"text": "", "delay_ms": delay_ms.unwrap_or_default()});
        let items = vec![item; usize::try_from(size)?];
        let path = format!("/v1/functions/{}/tasks/batch", Function::NoOp.name());
        let call = Call::post(&path, serde_json::to_vec(&items)?)?.json();
        let (target, connections) = (deployment.target.clone(), CONNECTIONS.min(usize::try_from(requests)?));
        let load = Load { target, calls: vec![call], keep: Keep::NoTask, pace: Pace::Closed, requests, connections };
        load.run().await.context("fill the store")?;
        left -= requests * size;
        bar.inc(requests * size);
    }
    Ok(began)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_of_their_own_are_modules_and_differ() {
        let (one, other) = (own_module(1), own_module(2));
        assert_ne!(one, other);
        assert!(one.starts_with(Function::NoOp.module()));
        // The section's length counts the bytes after it.
        let section = &one[Function::NoOp.module().len()..];
        assert_eq!(usize::from(section[1]), section.len() - 2);
        assert_eq!(usize::from(section[2]), b"no".len());
    }
}
