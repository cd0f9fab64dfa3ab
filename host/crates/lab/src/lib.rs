//! The lab: tools that show Fusebox, measure it and break it. They start real processes of the running program and
//! use them as anyone would, over REST; they know nothing of the inside of a host.
//!
//! | module | holds |
//! |---|---|
//! | [`demo`] | `fusebox demo`: the main features, from end to end |
//! | [`mod@bench`] | `fusebox bench`: throughput, latency, scaling, cost; charts and a report |
//! | [`chaos`] | `fusebox chaos`: faults on a schedule, and a checker of what clients saw |
//! | `cluster` | the private cluster that each of them starts |
//! | `process` | a child process, which can be paused, ended and started again |

use clap::Subcommand;
use fusebox_ui::OutputFormat;
use tokio::signal::unix::{SignalKind, signal};

use crate::{bench::BenchArgs, chaos::ChaosArgs, demo::DemoArgs};

pub mod bench;
pub mod chaos;
pub mod demo;

mod cluster;
mod process;

/// Commands of the lab.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one, read from the command line")]
pub enum Command {
    /// Run a tour: functions with their receipts, two that exceed their limits, and worker processes
    Demo(DemoArgs),
    /// Measure a deployment: throughput, latency, scaling
    Bench(BenchArgs),
    /// Inject faults into a private cluster under load, and check the end of every task
    Chaos(ChaosArgs),
}

/// Runs a command to its end.
///
/// # Errors
/// Fails if the command failed; see [`demo::run`], [`bench::run`] and [`chaos::run`].
pub async fn run(command: Command, format: OutputFormat) -> anyhow::Result<()> {
    let run = async {
        match command {
            Command::Demo(args) => demo::run(args).await,
            Command::Bench(args) => bench::run(args, format).await,
            Command::Chaos(args) => chaos::run(args, format).await,
        }
    };
    tokio::select! {
        ran = run => ran,
        stopped = stopped() => stopped,
    }
}

/// Waits for SIGTERM or SIGINT and returns an error, so that every process started by a command ends with it.
///
/// # Errors
/// Always fails: the work is not complete.
async fn stopped() -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    anyhow::bail!("stopped before the end: there is no result")
}
