//! `fusebox chaos`: starts a private cluster, kills and pauses its parts on a seeded schedule under load, and then
//! checks the clients' observations against the guarantees of Fusebox.
//!
//! | module | holds |
//! |---|---|
//! | [`schedule`] | the strikes and their times, drawn from a seed |
//! | `nodes`, `load` | REST as clients use it; the clients |
//! | `nemesis` | runs the schedule |
//! | `recorder`, `history` | faults and observations, as plain data |
//! | `book`, `checker`, `harmless`, `recovery`, `finding` | the history indexed, checked, timed; pure |
//! | `run`, `report` | one run; its results |
//! | `work` | the function that tasks call |

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fusebox_faults::small_disk::SmallDisk;
use fusebox_system::random;
use fusebox_ui::{self as ui, OutputFormat};

use crate::{
    cluster::{Fsync, Mode, Rigged, Role, Shape},
    process,
};
use report::Report;
use run::Run;
use schedule::{Kind, Plan};

pub mod schedule;

mod book;
mod checker;
mod finding;
mod harmless;
mod history;
mod load;
mod nemesis;
mod nodes;
#[cfg(test)]
mod plants;
mod recorder;
mod recovery;
mod report;
mod run;
mod work;

/// Numbers of REST nodes and dispatchers, of push or pull workers, and of slots each: more than cores, since the tasks
/// mostly wait.
const NODES: u8 = 2;
const WORKERS: u8 = 3;
const SLOTS: u32 = 8;
/// Name of the file with the history.
const HISTORY: &str = "history.jsonl";

/// Arguments of `fusebox chaos`.
#[derive(Debug, Args)]
#[command(after_help = "\
A round is one strike: a process is killed and restarted, paused for some seconds, or terminated; answers to its requests
are lost in a proxy; its wall clock is changed, by a preloaded library (which requires a C compiler, `cc`); or its store
is full for some seconds: `maxmemory` of Redis is reached, or the disk of an embedded store, a small one in memory (which
requires the right to mount; nothing of it is kept). The clock of Redis is changed only with --parts redis: leases follow
it, and the effect is reported. The same seed gives the same rounds and the same tasks. Exit code 1 if the history breaks a guarantee; the history is then kept.")]
pub struct ChaosArgs {
    /// How workers receive attempts
    #[arg(long, value_enum, default_value_t = Modes::All, value_name = "MODE")]
    mode: Modes,
    /// Number of strikes in each mode
    #[arg(long, default_value_t = 40, value_name = "N")]
    rounds: u32,
    /// Minimum of accepted tasks in each mode
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    tasks: u64,
    /// Seed of the schedule and the load [default: a random one]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// The store: Redis, with two REST nodes, two dispatchers, three workers; or embedded, one `up` process
    #[arg(long, value_enum, default_value_t = StoreKind::Redis, value_name = "STORE")]
    store: StoreKind,
    /// When Redis writes its log to disk
    #[arg(long, value_enum, default_value_t = Fsync::Always, value_name = "WHEN")]
    fsync: Fsync,
    /// Kinds of faults
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "kill,pause,terminate,answers,clock,full",
        value_name = "KINDS"
    )]
    faults: Vec<Kind>,
    /// Parts that are struck [default: all]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
    parts: Vec<Role>,
    /// Keep history, logs and stores here
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Time limit in each mode; no round begins after it
    #[arg(long, default_value = "15m", value_parser = humantime::parse_duration, value_name = "TIME")]
    time_limit: Duration,
    /// Check a kept history instead of running anything
    #[arg(long, value_name = "FILE")]
    recheck: Option<PathBuf>,
    /// The `fusebox` to run [default: this one]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// Modes to run, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Modes {
    Local,
    Push,
    Pull,
    All,
}

/// Store of the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StoreKind {
    Redis,
    Embedded,
}

/// Runs the modes and reports on each.
///
/// # Errors
/// Fails if a cluster does not start, or a history breaks a guarantee.
pub async fn run(args: ChaosArgs, format: OutputFormat) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    if let Some(file) = &args.recheck {
        let file = File::open(file).with_context(|| format!("open {}", file.display()))?;
        reports.push(report(&history::read(BufReader::new(file))?, format)?);
    } else {
        let seed = args.seed.unwrap_or_else(|| u64::from(u32::from_le_bytes(random::bytes())));
        for mode in args.mode.each() {
            reports.push(args.one(*mode, seed, format).await?);
        }
    }
    if format == OutputFormat::Json {
        ui::json(&reports)?;
    }
    let findings: usize = reports.iter().map(|report| report.findings.len()).sum();
    anyhow::ensure!(findings == 0, "{findings} findings: the history breaks guarantees of Fusebox");
    Ok(())
}

impl ChaosArgs {
    /// Runs one mode, checks it and prints the report. Keeps its data if requested or if anything was found.
    async fn one(&self, mode: Mode, seed: u64, format: OutputFormat) -> anyhow::Result<Report> {
        let scratch = tempfile::tempdir().context("make a directory for the cluster")?;
        let home = match &self.keep {
            Some(dir) => dir.join(mode.as_str()),
            None => scratch.path().to_owned(),
        };
        fs::create_dir_all(&home).with_context(|| format!("make {}", home.display()))?;
        let home = home.canonicalize()?;
        let run = self.what(mode, seed, &home)?;
        let played = run.play().await;
        let keep = |why: &str| {
            let _ = scratch.keep();
            ui::note(format!("{why}: history, logs and stores are kept in {}", home.display()));
        };
        let history = match played {
            Ok(history) => history,
            Err(error) => {
                keep("the run was aborted");
                return Err(error);
            }
        };
        history::write(BufWriter::new(File::create(home.join(HISTORY))?), &history)?;
        let report = report(&history, format)?;
        if self.keep.is_none() && !report.findings.is_empty() {
            keep("there are findings");
        }
        Ok(report)
    }

    fn what(&self, mode: Mode, seed: u64, home: &Path) -> anyhow::Result<Run> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => process::this_program()?,
        };
        let redis = (self.store == StoreKind::Redis).then_some(self.fsync);
        let nodes = if redis.is_some() { NODES } else { 0 };
        let (workers, slots) = (WORKERS, SLOTS);
        let mut kinds = self.faults.clone();
        let is_asked_for = |role| self.parts.is_empty() || self.parts.contains(&role);
        // One process on its own store connects to no other part.
        kinds.retain(|kind| *kind != Kind::Answers || redis.is_some() || mode != Mode::Local);
        anyhow::ensure!(
            !kinds.is_empty(),
            "one process on the embedded store has no connections, so no answer can be lost"
        );
        if kinds.contains(&Kind::Full) {
            let keeper = if redis.is_some() { Role::Redis } else { Role::Host };
            let possible = match is_asked_for(keeper) {
                true => redis.map_or_else(try_small_disk, |_| Ok(())),
                false => Err(anyhow::anyhow!("none of these parts keeps the tasks")),
            };
            if let Err(why) = possible {
                kinds.retain(|kind| *kind != Kind::Full);
                anyhow::ensure!(!kinds.is_empty(), "no store can be full: {why:#}");
                ui::note(format!("No store is full in this run: {why:#}"));
            }
        }
        let rigged = Rigged {
            answers: kinds.contains(&Kind::Answers),
            clocks: kinds.contains(&Kind::Clock),
            full: kinds.contains(&Kind::Full),
        };
        let (modules, home) = (None, home.to_owned());
        let shape = Shape { program, mode, redis, nodes, workers, slots, modules, rigged, home };
        let parts: Vec<_> = shape.parts().into_iter().filter(|part| is_asked_for(part.role)).collect();
        anyhow::ensure!(!parts.is_empty(), "there are no such parts in mode {} on this store", mode.as_str());
        let plan = Plan { seed, rounds: self.rounds, parts, kinds };
        Ok(Run { shape, plan, tasks: self.tasks, time_limit: self.time_limit })
    }
}

/// Checks that this machine allows a small disk.
fn try_small_disk() -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    SmallDisk::mount(dir.path(), 1 << 20).map(drop)
}

impl Modes {
    const fn each(self) -> &'static [Mode] {
        match self {
            Self::Local => &[Mode::Local],
            Self::Push => &[Mode::Push],
            Self::Pull => &[Mode::Pull],
            Self::All => &[Mode::Local, Mode::Push, Mode::Pull],
        }
    }
}

/// Checks a history and prints its report.
fn report(history: &[history::Entry], format: OutputFormat) -> anyhow::Result<Report> {
    let report = Report::of(history);
    if format == OutputFormat::Text {
        ui::say(report.table())?;
        report.tell(history).iter().try_for_each(ui::say)?;
        ui::say("")?;
    }
    Ok(report)
}
