//! `fusebox bench overload`: behavior of a host under a multiple of the load that it can handle. It must keep its
//! throughput, refuse the rest with a time to retry, need no more memory, and lose no accepted task.
//!
//! Starts three hosts in turn, on the embedded store: the first measures how many tasks a second end while the queue is
//! never empty; the second is offered nine tenths of that rate, the third `--factor` times that rate.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use fusebox_api::{functions::LimitParams, quotas::QuotaValues};
use fusebox_client::Client;
use fusebox_core::capability::Grants;
use fusebox_ui::{self as ui, OutputFormat, table::Table};
use serde::Serialize;

use super::guests::{Function, Work};
use crate::{
    cluster::{Cluster, Mode, Part, Rigged, Role, Shape},
    process,
};
use flood::{Flood, Offer};

mod flood;

/// Rate of offered tasks that measures the throughput: far more than two slots can handle.
const CALIBRATION_RATE: u32 = 1_000;
/// Share of the throughput offered to the host that is not overloaded.
const SUSTAINABLE: f64 = 0.9;

/// Arguments of `fusebox bench overload`.
#[derive(Debug, Args)]
pub struct OverloadArgs {
    /// Seconds of each of the two measurements
    #[arg(long, default_value_t = 60, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Offered load, as a multiple of the host's throughput
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=100))]
    factor: u32,
    /// Limit of the host's queue: a few seconds' worth of tasks, so that it is full for most of the time
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    queue: u64,
    /// Slots of the host
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    slots: u32,
    /// Steps that each task computes; 1,000,000 take about 5 ms
    #[arg(long, default_value_t = 5_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=50_000_000))]
    cpu_steps: u32,
    /// The `fusebox` to run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Result of an offer.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    offered_per_second: u32,
    seconds: f64,
    accepted: u64,
    refused: u64,
    /// Refusals without `Retry-After`.
    refused_without_retry_after: u64,
    /// Requests that were neither accepted nor refused.
    broken: u64,
    /// Tasks per second that ended during the offer.
    ended_per_second: f64,
    /// Accepted tasks that had not completed once the queue was empty.
    lost: u64,
    accept_p99_ms: Option<f64>,
    resident_bytes: u64,
}

/// Results of both hosts, and their comparison.
#[derive(Clone, Debug, Serialize)]
struct Report {
    factor: u32,
    once: Outcome,
    many: Outcome,
    goodput_ratio: f64,
    memory_ratio: f64,
    /// True if the overloaded host met every requirement.
    holds: bool,
}

/// Runs the measurement.
///
/// # Errors
/// Fails if a host does not start, or the overloaded one misses a requirement.
pub(super) async fn run(args: &OverloadArgs, format: OutputFormat) -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("make a directory for the hosts")?;
    let host = |name: &str| Host::start(args, home.path(), name.to_owned());
    let calibration = host("capacity").await?.offer(args, CALIBRATION_RATE, args.seconds.min(10)).await?;
    let once = per_second(calibration.ended_per_second * SUSTAINABLE);
    ui::note(format!(
        "{:.0} tasks a second end; the offered load is {once} a second, then {}",
        calibration.ended_per_second,
        once * args.factor
    ));
    let once = host("once").await?.offer(args, once, args.seconds).await?;
    let many = once.offered_per_second * args.factor;
    let many = host("many").await?.offer(args, many, args.seconds).await?;
    let report = Report::new(args.factor, once, many);
    match format {
        OutputFormat::Json => ui::json(&report)?,
        OutputFormat::Text => ui::say(report.table())?,
    }
    anyhow::ensure!(
        report.holds,
        "an overloaded host must keep its throughput and memory, lose no task, and report every refusal"
    );
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some hundreds a second")]
fn per_second(rate: f64) -> u32 {
    (rate as u32).max(1)
}

/// A host with a small queue.
struct Host {
    cluster: Cluster,
    url: String,
}

impl Host {
    async fn start(args: &OverloadArgs, home: &Path, name: String) -> anyhow::Result<Self> {
        let program = match &args.program {
            Some(program) => program.clone(),
            None => process::this_program()?,
        };
        let own = home.join(name);
        std::fs::create_dir_all(&own).with_context(|| format!("make {}", own.display()))?;
        let shape = Shape {
            program,
            mode: Mode::Local,
            redis: None,
            nodes: 0,
            workers: 1,
            slots: args.slots,
            modules: Some(home.join("modules")),
            rigged: Rigged::default(),
            home: own,
        };
        let cluster = Cluster::start(&shape).await?;
        let url = cluster.urls.first().context("a host has an address")?.clone();
        let client = Client::new(&url)?;
        client
            .register(
                &Function::Cpu.name(),
                LimitParams::default(),
                &Grants::default(),
                Function::Cpu.module().to_vec(),
            )
            .await?;
        let bound = QuotaValues { queued_tasks: Some(args.queue), ..QuotaValues::default() };
        client.set_quotas("default", &bound).await?;
        Ok(Self { cluster, url })
    }

    /// Offers tasks, waits until the host has run all that it accepted, and counts them.
    async fn offer(self, args: &OverloadArgs, per_second: u32, seconds: u64) -> anyhow::Result<Outcome> {
        let work = Work { sleep_ms: 0, cpu_steps: args.cpu_steps };
        let process = self.cluster.process(Part { role: Role::Host, number: 1 })?.lock().await.id();
        let offer = Offer {
            url: self.url.clone(),
            process: process.context("the host runs")?,
            path: format!("/v1/functions/{}/tasks", Function::Cpu.name()),
            body: Function::Cpu.input(work, 0),
            per_second,
            seconds,
        };
        let Flood { seconds, accepted, refused, unsaid, broken, ended, resident_bytes, times } = offer.make().await?;
        let completed = flood::drained(&self.url).await?;
        Ok(Outcome {
            offered_per_second: per_second,
            seconds,
            accepted,
            refused,
            refused_without_retry_after: unsaid,
            broken,
            ended_per_second: super::load::to_f64(ended) / seconds,
            lost: accepted.saturating_sub(completed),
            accept_p99_ms: times.percentile_ms(99.0),
            resident_bytes,
        })
    }
}

impl Report {
    /// Checks the requirements: 90 % of the goodput, 1.5 times the memory, `Retry-After` with every refusal, no lost
    /// task.
    fn new(factor: u32, once: Outcome, many: Outcome) -> Self {
        let goodput_ratio = many.ended_per_second / once.ended_per_second;
        let memory_ratio = super::load::to_f64(many.resident_bytes) / super::load::to_f64(once.resident_bytes);
        let is_honest =
            |outcome: &Outcome| outcome.refused_without_retry_after == 0 && outcome.broken == 0 && outcome.lost == 0;
        let holds = goodput_ratio >= 0.9 && memory_ratio <= 1.5 && is_honest(&once) && is_honest(&many);
        Self { factor, once, many, goodput_ratio, memory_ratio, holds }
    }

    fn table(&self) -> String {
        let mut table = Table::new([
            "",
            "OFFERED/S",
            "ACCEPTED",
            "REFUSED",
            "UNSAID",
            "BROKEN",
            "LOST",
            "ENDED/S",
            "P99",
            "MEMORY",
        ]);
        for (name, outcome) in [("1x".to_owned(), &self.once), (format!("{}x", self.factor), &self.many)] {
            table.row([
                name,
                outcome.offered_per_second.to_string(),
                ui::count(outcome.accepted),
                ui::count(outcome.refused),
                outcome.refused_without_retry_after.to_string(),
                outcome.broken.to_string(),
                outcome.lost.to_string(),
                format!("{:.1}", outcome.ended_per_second),
                outcome.accept_p99_ms.map(|ms| format!("{ms:.1} ms")).unwrap_or_default(),
                format!("{} MiB", outcome.resident_bytes >> 20),
            ]);
        }
        let (goodput, memory) = (self.goodput_ratio, self.memory_ratio);
        format!("{table}\ngoodput {goodput:.2} of 1x (at least 0.90), memory {memory:.2} times (at most 1.50)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(ended_per_second: f64, resident_bytes: u64) -> Outcome {
        Outcome {
            offered_per_second: 100,
            seconds: 1.0,
            accepted: 100,
            refused: 9,
            refused_without_retry_after: 0,
            broken: 0,
            ended_per_second,
            lost: 0,
            accept_p99_ms: None,
            resident_bytes,
        }
    }

    #[test]
    fn a_host_that_does_less_needs_more_hides_or_loses_does_not_hold() {
        let holds = |many: Outcome| Report::new(10, outcome(100.0, 100), many).holds;
        assert!(holds(outcome(90.0, 150)));
        assert!(!holds(outcome(89.0, 150)) && !holds(outcome(90.0, 151)));
        assert!(!holds(Outcome { lost: 1, ..outcome(100.0, 100) }));
        assert!(!holds(Outcome { refused_without_retry_after: 1, ..outcome(100.0, 100) }));
        assert!(!holds(Outcome { broken: 1, ..outcome(100.0, 100) }));
    }
}
