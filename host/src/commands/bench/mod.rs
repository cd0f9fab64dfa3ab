//! `fusebox bench`: measures a deployment, of its own or one that runs.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | scenarios, axes, and the cases that come of them |
//! | [`guests`] | what is run |
//! | `deployment` | what it is run on |
//! | `http`, `metronome`, `load` | a lean client, when it sends, how much |
//! | `measure`, `stats`, `row` | one case; its times; its figures |

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::{
    cluster::{Mode, find_redis},
    signals,
};
use crate::{
    cli::OutputFormat,
    ui::{self, progress, table::Table},
};
use deployment::{Deployment, Source};
use guests::{Function, Work};
use plan::{Axes, Case, Scenario, Setting, Size, StoreKind};
use row::Row;

pub mod guests;
pub mod plan;

mod deployment;
mod http;
mod load;
mod measure;
mod metronome;
mod row;
mod stats;

/// What is measured, and on what.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to measure [default: all but strong scaling]
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// How workers come by their tasks
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODES")]
    mode: Vec<Mode>,
    /// Where tasks are
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STORES")]
    store: Vec<StoreKind>,
    /// Worker processes; in local mode, so many times the slots in one process
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: Vec<u8>,
    /// Runs that go on at once in each worker
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    slots: Vec<u32>,
    /// What to run
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FUNCTIONS")]
    function: Vec<Function>,
    /// Connections of the client
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: Option<u16>,
    /// Tasks of each measurement, but of weak scaling
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=500_000))]
    tasks: Option<u64>,
    /// Weak scaling's tasks for each slot
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    each: Vec<u64>,
    /// Size of inputs in bytes
    #[arg(long, value_delimiter = ',', value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=6 << 20))]
    payload: Vec<u32>,
    /// Requests a second, of open-loop latency
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Vec<u32>,
    /// How long the sleep function waits, in milliseconds
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=30_000))]
    sleep_ms: u32,
    /// Steps that the CPU function computes
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=50_000_000))]
    cpu_steps: u32,
    /// How often each case is measured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: Option<u32>,
    /// Measure everything: about an hour
    #[arg(long, conflicts_with = "smoke")]
    full: bool,
    /// Measure a little of everything in a few seconds, to see that it works
    #[arg(long)]
    smoke: bool,
    /// Measure a server that runs, which should have nothing else to do, instead of a deployment of its own
    #[arg(long, value_name = "URL", conflicts_with_all = ["mode", "store", "workers", "slots", "program"])]
    server: Option<String>,
    /// The `fusebox` to run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Measures.
///
/// # Errors
/// Where a deployment does not start, or a task does not end as it has to.
pub async fn run(args: BenchArgs, format: OutputFormat) -> anyhow::Result<()> {
    let rows = tokio::select! {
        rows = args.measure() => rows?,
        stopped = signals::stopped() => return stopped,
    };
    match format {
        OutputFormat::Json => ui::json(&serde_json::json!({"rows": rows})),
        OutputFormat::Text => ui::say(table(&rows)),
    }
}

impl BenchArgs {
    fn size(&self) -> Size {
        match (self.smoke, self.full) {
            (true, _) => Size::Smoke,
            (_, true) => Size::Full,
            _ => Size::Quick,
        }
    }

    fn axes(&self) -> Axes {
        Axes {
            scenarios: self.scenarios.clone(),
            functions: self.function.clone(),
            modes: if self.server.is_some() { vec![Mode::Local] } else { self.mode.clone() },
            stores: if self.server.is_some() { vec![StoreKind::Server] } else { self.store.clone() },
            workers: if self.server.is_some() { vec![1] } else { self.workers.clone() },
            slots: if self.server.is_some() { vec![1] } else { self.slots.clone() },
            payloads: self.payload.iter().map(|bytes| *bytes as usize).collect(),
            rates: self.rate.clone(),
            each: self.each.clone(),
            connections: self.connections.map(usize::from),
            tasks: self.tasks,
        }
    }

    async fn measure(&self) -> anyhow::Result<Vec<Row>> {
        let cases = self.axes().cases(self.size());
        if cases.iter().any(|case| case.setting.store == StoreKind::Redis) {
            find_redis()?;
        }
        let home = tempfile::tempdir().context("make a directory for the deployment")?;
        let source = match &self.server {
            Some(url) => Source::Server(url.clone()),
            None => {
                let program = match &self.program {
                    Some(program) => program.clone(),
                    None => std::env::current_exe().context("find this program")?,
                };
                Source::Private { program, home: home.path().canonicalize()? }
            }
        };
        let repeats = self.repeats.unwrap_or(self.size().repeats());
        let bar = progress::bar("measuring", cases.len() as u64 * u64::from(repeats));
        let work = Work { sleep_ms: self.sleep_ms, cpu_steps: self.cpu_steps };
        let mut rows = Vec::new();
        for (number, of_one) in cases.chunk_by(|one, next| one.setting == next.setting).enumerate() {
            let Some(Case { setting, .. }) = of_one.first() else { continue };
            let mut deployment = deploy(&source, *setting, number).await?;
            deployment.register(of_one).await?;
            for case in of_one {
                bar.set_message(case.what());
                let told = || format!("measure {}", case.what());
                measure::warm(&deployment, case, work).await.with_context(told)?;
                for repeat in 1..=repeats {
                    rows.push(measure::once(&deployment, case, work, repeat).await.with_context(told)?);
                    bar.inc(1);
                }
            }
        }
        bar.finish_and_clear();
        Ok(rows)
    }
}

async fn deploy(source: &Source, setting: Setting, number: usize) -> anyhow::Result<Deployment> {
    Deployment::of(source, setting, number).await.context("start what is to be measured")
}

fn table(rows: &[Row]) -> String {
    let header = [
        "SCENARIO",
        "FUNCTION",
        "STORE",
        "MODE",
        "WORKERS",
        "TASKS",
        "RATE",
        "SECONDS",
        "PER SECOND",
        "P50 MS",
        "P99 MS",
    ];
    let mut table = Table::new(header);
    for row in rows {
        let ms = |ms: Option<f64>| ms.map(|ms| format!("{ms:.2}")).unwrap_or_default();
        table.row([
            row.scenario.as_str().to_owned(),
            row.function.as_str().to_owned(),
            format!("{:?}", row.store).to_lowercase(),
            row.mode.as_str().to_owned(),
            format!("{}x{}", row.workers, row.slots),
            ui::count(row.tasks),
            row.rate.map(|rate| rate.to_string()).unwrap_or_default(),
            format!("{:.3}", row.seconds),
            format!("{:.0}", row.per_second),
            ms(row.p50_ms),
            ms(row.p99_ms),
        ]);
    }
    table.to_string()
}
