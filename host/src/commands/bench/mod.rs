//! `fusebox bench`: measures a deployment, of its own or one that runs.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | scenarios, axes, and the cases that come of them |
//! | [`guests`] | what is run |
//! | `deployment` | what it is run on |
//! | `http`, `metronome`, `load` | a lean client, when it sends, how much |
//! | `measure`, `busy` | one case; what else used the machine meanwhile |
//! | `stats`, `row`, `results` | times, figures, all of them and the machine |
//! | `charts`, `draw`, `report` | which charts there are, how they look, the page around them |
//! | [`compare`] | two runs beside each other |

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use rustix::process::getpid;

use super::{
    cluster::{Mode, find_redis},
    signals,
};
use crate::{
    cli::OutputFormat,
    ui::{self, progress},
};
use busy::{Busy, Sample};
use compare::CompareArgs;
use deployment::{Deployment, Source};
use guests::{Function, Work};
use plan::{Axes, Case, Scenario, Setting, Size, StoreKind};
use results::Results;
use row::Row;

pub mod compare;
pub mod guests;
pub mod plan;

mod busy;
mod charts;
mod deployment;
mod draw;
mod http;
mod load;
mod measure;
mod metronome;
mod report;
mod results;
mod row;
mod stats;

const HELP: &str = "\
What is measured, and in which unit:
  burst    durable tasks a second: N tasks, a request each over --connections, first request to last task's end
  batch    the same in batches of 500 over 4 connections
  latency  milliseconds from submission to result, with `Prefer: wait`: first one task after the other on an idle system,
           then at each --rate, where each time counts from when its request was meant to be sent, so that a slow answer
           does not hide the wait of those behind it
  weak     seconds for --each sleeping tasks in every slot, with ever more workers: flat is perfect
  strong   seconds for the same sleeping tasks with ever more workers: halved by twice as many is perfect
  invoke   sync invokes a second over --connections, on one `up` process; nothing is stored
  payload  durable tasks a second that answer inputs of each --payload size
Functions: no-op (core ABI, returns at once), sleep (a WASI command in poll_oneoff), cpu (a loop), echo. All limits are on.

Durability: with Redis, REST, dispatcher, workers and a redis-server with `appendonly yes, appendfsync everysec` run as
processes of their own: an accepted task survives kill -9 of any, power loss may cost the last second. The embedded store
has synced each task to disk before its answer. Client, server, store and workers share this machine.

Every task's end is checked: all COMPLETED, and results byte for byte (all, or 1,000 spread evenly). Where other processes
use more than 10 % of the machine during a measurement, it is repeated, and the third time no figures are shown.

Examples:
  fusebox bench                                          about 2 minutes
  fusebox bench burst batch --mode push,pull --tasks 50000 --out bench-output
  fusebox bench latency --rate 500,2000 --store embedded
  fusebox bench invoke --server http://127.0.0.1:8000
  fusebox bench compare before after --fail-below 0.95";

/// How often a case is measured before the machine is called busy.
const TRIES: u32 = 3;

/// What is done with results.
#[derive(Debug, Subcommand)]
enum Action {
    /// Compare two runs, row by row
    Compare(CompareArgs),
}

/// What is measured, and on what.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    action: Option<Action>,
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
    /// Write results.json, results.csv, charts and report.html here
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show figures of a busy machine as well, marked as not to be published
    #[arg(long)]
    allow_busy: bool,
    /// The `fusebox` to run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Measures, or compares what was measured.
///
/// # Errors
/// Where a deployment does not start, a task does not end as it has to, or the machine is busy.
pub async fn run(args: BenchArgs, format: OutputFormat) -> anyhow::Result<()> {
    if let Some(Action::Compare(args)) = &args.action {
        return compare::run(args, format);
    }
    let results = tokio::select! {
        results = args.measure() => results?,
        stopped = signals::stopped() => return stopped,
    };
    if let Some(dir) = &args.out {
        results.write(dir)?;
        report::write(&results, dir)?;
        ui::note(format!("the report is {}", dir.join("report.html").display()));
    }
    if !results.publishable {
        ui::note(format!("not to be published: {}", results.busy.tell()));
    }
    match format {
        OutputFormat::Json => ui::json(&results),
        OutputFormat::Text => ui::say(report::lines(&results.rows)),
    }
}

/// What a measurement is made with.
struct Bench<'a> {
    args: &'a BenchArgs,
    deployment: Deployment,
    work: Work,
    repeats: u32,
    bar: &'a ProgressBar,
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

    fn source(&self, home: PathBuf) -> anyhow::Result<Source> {
        Ok(match (&self.server, &self.program) {
            (Some(url), _) => Source::Server(url.clone()),
            (None, Some(program)) => Source::Private { program: program.clone(), home },
            (None, None) => Source::Private { program: std::env::current_exe().context("find this program")?, home },
        })
    }

    async fn measure(&self) -> anyhow::Result<Results> {
        let cases = self.axes().cases(self.size());
        let mut stores: Vec<StoreKind> = cases.iter().map(|case| case.setting.store).collect();
        stores.sort_unstable();
        stores.dedup();
        if stores.contains(&StoreKind::Redis) {
            find_redis()?;
        }
        let home = tempfile::tempdir().context("make a directory for the deployment")?;
        let source = self.source(home.path().canonicalize()?)?;
        let repeats = self.repeats.unwrap_or_else(|| self.size().repeats());
        let bar = progress::bar("measuring", cases.len() as u64 * u64::from(repeats));
        let work = Work { sleep_ms: self.sleep_ms, cpu_steps: self.cpu_steps };
        let mut results = Results::begin(&stores);
        for (number, of_one) in cases.chunk_by(|one, next| one.setting == next.setting).enumerate() {
            let Some(Case { setting, .. }) = of_one.first() else { continue };
            bar.set_message(format!("starting what is measured, for {}", of_one[0].what()));
            let mut deployment = deploy(&source, *setting, number).await?;
            deployment.register(of_one).await?;
            let bench = Bench { args: self, deployment, work, repeats, bar: &bar };
            for case in of_one {
                bar.set_message(case.what());
                let measured = bench.case(case).await.with_context(|| format!("measure {}", case.what()));
                let (rows, busy) = measured?;
                results.rows.extend(rows);
                results.publishable &= !busy.is_busy;
                results.busy = results.busy.worse(busy);
            }
        }
        bar.finish_and_clear();
        Ok(results)
    }
}

impl Bench<'_> {
    /// Measures a case so often that the machine was quiet meanwhile.
    async fn case(&self, case: &Case) -> anyhow::Result<(Vec<Row>, Busy)> {
        let own = getpid().as_raw_nonzero().get();
        measure::warm(&self.deployment, case, self.work).await?;
        for attempt in 1.. {
            let before = Sample::take()?;
            let mut rows = Vec::new();
            for repeat in 1..=self.repeats {
                rows.push(measure::once(&self.deployment, case, self.work, repeat).await?);
                if attempt == 1 {
                    self.bar.inc(1);
                }
            }
            let busy = Sample::take()?.since(&before, own, self.args.server.is_some());
            if !busy.is_busy || self.args.allow_busy {
                return Ok((rows, busy));
            }
            anyhow::ensure!(
                attempt < TRIES,
                "{}: the figures would say nothing; end the others, or add --allow-busy, which marks the report",
                busy.tell()
            );
            ui::note(format!("{}: measuring {} again", busy.tell(), case.what()));
        }
        anyhow::bail!("no attempt was made")
    }
}

async fn deploy(source: &Source, setting: Setting, number: usize) -> anyhow::Result<Deployment> {
    Deployment::of(source, setting, number).await.context("start what is to be measured")
}
