//! `fusebox bench`: measures a private deployment or a running server.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`], `axes` | scenarios, and the cases that follow from the command line's axes |
//! | [`guests`] | the functions |
//! | `deployment` | the deployment under measurement |
//! | `http`, `metronome`, `load` | a lean client, its schedule, the load |
//! | `run`, `measure`, `busy` | all cases; one of them; other load on the machine |
//! | [`beside`], `fill`, `cost`, `memory` | stored data; cost of tasks beside much of it, and memory of hosts |
//! | `estimate` | expected duration |
//! | `stats`, `row`, `results` | latencies, figures, all of them with the machine |
//! | `charts`, `draw`, `report` | the charts, their drawing, the page around them |
//! | [`overload`] | a host under a multiple of the load that it can handle |
//! | [`compare`] | comparison of two runs |

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fusebox_client::Credentials;
use fusebox_core::limits::QUEUED_TASKS_PER_TENANT_MAX;
use fusebox_ui::{self as ui, OutputFormat};

use crate::{cluster::Mode, process};
use axes::Axes;
use beside::Stored;
use compare::CompareArgs;
use deployment::Source;
use guests::{Function, Work};
use overload::OverloadArgs;
use plan::{Scenario, Size, StoreKind};

pub mod beside;
pub mod compare;
pub mod guests;
pub mod overload;
pub mod plan;

mod axes;
mod busy;
mod charts;
mod cost;
mod deployment;
mod draw;
mod estimate;
mod fill;
mod http;
mod load;
mod measure;
mod memory;
mod metronome;
mod report;
mod results;
mod row;
mod run;
mod stats;

const HELP: &str = "\
Measurements and their units:
  burst    durable tasks per second: N tasks, one per request over --connections, from first request to last end
  batch    the same in batches of 500 over 4 connections
  latency  milliseconds from submission to result, with `Prefer: wait`: first sequentially on an idle system, then at
           each --rate, timed from the intended start of each request, so that a slow response does not hide the wait of
           the requests after it
  weak     seconds for --each sleeping tasks per slot, with more and more workers: ideally constant
  strong   seconds for the same sleeping tasks, with more and more workers: ideally halved by twice as many
  invoke   sync invokes per second over --connections, on one `up` process; nothing is stored
  payload  durable tasks per second that return their input, for each --payload size
  cost     cost of a task beside --much waiting tasks, results or a hundredth as many functions, relative to few: two
           deployments are measured alternately
  memory   memory of a host: megabytes idle, bytes per function in addition to its module, megabytes per million
           queued tasks; no workers run meanwhile
Functions: no-op (core ABI, returns at once), sleep (a WASI command in poll_oneoff), cpu (a loop), echo. All limits are on.

Durability: with Redis, REST, dispatcher, workers and a redis-server with `appendonly yes, appendfsync everysec` run as
separate processes: an accepted task survives kill -9 of any; power loss may cost the last second. The embedded store
has synced each task to disk before its answer. Client, server, store and workers share this machine.

Every task's end is checked: all COMPLETED, and results byte for byte (all, or an evenly spread sample of 100,000).
If other processes use more than 10 % of the machine during a measurement, it is repeated, and after the third time no
figures are shown. The expected duration is printed first: an estimate for a small machine.

Examples:
  fusebox bench
  fusebox bench burst batch --mode push,pull --tasks 50000 --out bench-output
  fusebox bench latency --rate 500,2000 --store embedded
  fusebox bench cost memory --much 1000000 --out bench-output
  fusebox bench invoke --server http://127.0.0.1:8000
  fusebox bench overload --seconds 60 --factor 10
  fusebox bench compare before after --fail-below 0.95";

/// Other actions of `fusebox bench`.
#[derive(Debug, Subcommand)]
enum Action {
    /// Compare two runs, row by row
    Compare(CompareArgs),
    /// Offer a host a multiple of the load that it can handle: it must keep its throughput, refuse the rest properly,
    /// and lose nothing
    Overload(OverloadArgs),
}

/// Measurements to make, and their subject.
#[derive(Debug, Args)]
#[command(after_help = HELP, args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    action: Option<Action>,
    /// Measurements to make [default: all but strong scaling, cost and memory]
    #[arg(value_enum, value_name = "SCENARIO")]
    scenarios: Vec<Scenario>,
    /// How workers receive tasks
    #[arg(long, value_enum, value_delimiter = ',', value_name = "MODES")]
    mode: Vec<Mode>,
    /// Kinds of store
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STORES")]
    store: Vec<StoreKind>,
    /// Worker processes; in local mode a multiple of the slots in one process
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: Vec<u8>,
    /// Concurrent runs in each worker
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    slots: Vec<u32>,
    /// Functions to run
    #[arg(long, value_enum, value_delimiter = ',', value_name = "FUNCTIONS")]
    function: Vec<Function>,
    /// Connections of the client
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_024))]
    connections: Option<u16>,
    /// Tasks of each measurement, except weak scaling
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=500_000))]
    tasks: Option<u64>,
    /// Tasks per slot in weak scaling
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    each: Vec<u64>,
    /// Size of inputs in bytes
    #[arg(long, value_delimiter = ',', value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=6 << 20))]
    payload: Vec<u32>,
    /// Requests per second in open-loop latency
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Vec<u32>,
    /// Wait of the sleep function, in milliseconds
    #[arg(long, default_value_t = 100, value_name = "MS", value_parser = clap::value_parser!(u32).range(0..=30_000))]
    sleep_ms: u32,
    /// Steps that the CPU function computes
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=50_000_000))]
    cpu_steps: u32,
    /// Kind of stored data beside which a task's cost is measured
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    beside: Vec<Stored>,
    /// Amount of that data; also the number of queued tasks in the memory measurement
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=QUEUED_TASKS_PER_TENANT_MAX))]
    much: Option<u64>,
    /// Measurements of each case
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    repeats: Option<u32>,
    /// Measure everything
    #[arg(long, conflicts_with = "smoke")]
    full: bool,
    /// Measure a little of everything in a few seconds, to see that it works
    #[arg(long)]
    smoke: bool,
    /// Measure a running server, which should have no other load, instead of a private deployment
    #[arg(long, value_name = "URL", conflicts_with_all = ["mode", "store", "workers", "slots", "program"])]
    server: Option<String>,
    /// An API key of the operator, if that server has keys
    #[arg(long, env = "FUSEBOX_API_KEY", hide_env_values = true, hide_default_value = true, value_name = "KEY")]
    api_key: Option<Credentials>,
    /// Write results.json, results.csv, charts and report.html here
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Also show figures of a busy machine, marked as not to be published
    #[arg(long)]
    allow_busy: bool,
    /// The `fusebox` to run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Runs the measurements, or another action.
///
/// # Errors
/// Fails if a deployment does not start, a task does not end as expected, or the machine is busy.
pub async fn run(args: BenchArgs, format: OutputFormat) -> anyhow::Result<()> {
    match &args.action {
        Some(Action::Compare(args)) => return compare::run(args, format),
        Some(Action::Overload(args)) => {
            return overload::run(args, format).await;
        }
        None => {}
    }
    let needs_two = |scenario: &Scenario| matches!(scenario, Scenario::Cost | Scenario::Memory);
    anyhow::ensure!(
        args.server.is_none() || !args.scenarios.iter().any(needs_two),
        "cost and memory require private deployments: leave out --server"
    );
    let results = run::all(&args).await?;
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
        OutputFormat::Text => ui::say(report::lines(&results)),
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
            beside: self.beside.clone(),
            much: self.much,
        }
    }

    const fn work(&self) -> Work {
        Work { sleep_ms: self.sleep_ms, cpu_steps: self.cpu_steps }
    }

    fn source(&self, home: PathBuf) -> anyhow::Result<Source> {
        Ok(match (&self.server, &self.program) {
            (Some(url), _) => Source::Server(url.clone(), self.api_key.clone()),
            (None, Some(program)) => Source::Private { program: program.clone(), home },
            (None, None) => Source::Private { program: process::this_program()?, home },
        })
    }
}
