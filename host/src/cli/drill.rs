//! `fusebox drill`: tries to break out of a jail from inside, as native code in a slot could, and prints the results.
//! Started by `fusebox doctor --drill`, not by people.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use fusebox_core::{function::RunLimits, limits::SLOT_STACK_BYTES};
use fusebox_jail::{
    Inmate, Layer, Plan, Report, User,
    drill::{self, Row, Scene},
};
use fusebox_ui as ui;
use serde::{Deserialize, Serialize};

use crate::{
    cli::report,
    node::admin::AdminArgs,
    node::{args::KindArgs, confine, egress::EgressArgs, jail::JailArg, worker::WorkArgs},
    worker::isolate::slot,
};
use fusebox_ui::OutputFormat;

/// Process whose jail is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InmateArg {
    /// A slot of a push or pull worker
    Worker,
    /// A process of runs, under `--isolate=process`
    Slot,
    /// A compile child
    Compiler,
    /// A worker's helper
    Helper,
    /// A worker's egress proxy
    Proxy,
}

/// Settings of a drill.
#[derive(Clone, Debug, Args)]
pub struct DrillArgs {
    /// Process whose jail is tried
    #[arg(value_enum)]
    pub inmate: InmateArg,
    /// How strictly to require the jail
    #[arg(long, value_enum, default_value_t)]
    pub jail: JailArg,
    /// The worker's directory
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// Results of a drill.
#[derive(Debug, Serialize, Deserialize)]
pub struct Drilled {
    /// Layers of the jail.
    pub layers: Vec<DrilledLayer>,
    /// Attempts to break out.
    pub rows: Vec<Row>,
}

/// A layer of the jail, as printed and read back.
#[derive(Debug, Serialize, Deserialize)]
pub struct DrilledLayer {
    /// Name of the layer.
    pub name: String,
    /// True if the layer holds.
    pub holds: bool,
    /// Description, or the reason it is missing.
    pub what: String,
}

/// Enters the jail, then tries to break out of it.
#[must_use]
pub fn run(args: &DrillArgs) -> ExitCode {
    match tried(args).and_then(|drilled| ui::json(&drilled)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::report(&error, OutputFormat::Text),
    }
}

fn tried(args: &DrillArgs) -> anyhow::Result<Drilled> {
    let (report, scene) = match args.inmate {
        InmateArg::Worker => {
            let data = std::path::absolute(&args.data)?;
            let dir = confine::cache_dir(&data);
            std::fs::create_dir_all(&dir)?;
            // Relative paths stay reachable this way even if the new user may not traverse the parent directories.
            std::env::set_current_dir(&dir)?;
            let args = WorkArgs {
                slots: 1,
                urls: vec!["tcp://127.0.0.1:9".to_owned()],
                join_token: None,
                data,
                jail: args.jail,
                user: User::NOBODY,
                kinds: KindArgs::default(),
                egress: EgressArgs::default(),
                admin: AdminArgs::default(),
            };
            let inmate = Inmate::Worker { cache: dir };
            (confine::worker(&args)?.report, Scene { inmate, cache: Some(".".into()) })
        }
        InmateArg::Slot => entered(slot::plan(&RunLimits::CEILING, User::NOBODY), args.jail)?,
        InmateArg::Compiler => entered(plan(Inmate::Compiler), args.jail)?,
        // A port that nothing here connects to.
        InmateArg::Helper => entered(plan(Inmate::Helper { ports: vec![1] }), args.jail)?,
        InmateArg::Proxy => entered(plan(Inmate::Proxy), args.jail)?,
    };
    // On a thread started inside the jail, as slots are.
    let slot = std::thread::Builder::new().stack_size(SLOT_STACK_BYTES);
    let rows = slot.spawn(move || drill::run(&scene))?.join();
    let rows = rows.ok().context("the drill panicked")?;
    let Report(layers) = report;
    let layers =
        layers.into_iter().map(|Layer { name, holds, what }| DrilledLayer { name: name.to_owned(), holds, what });
    Ok(Drilled { layers: layers.collect(), rows })
}

fn plan(inmate: Inmate) -> Plan {
    Plan { inmate, user: User::NOBODY, limits: Vec::new() }
}

/// Enters a jail that keeps no directory.
fn entered(plan: Plan, jail: JailArg) -> anyhow::Result<(Report, Scene)> {
    let report = plan.enter(jail.into())?;
    Ok((report, Scene { inmate: plan.inmate, cache: None }))
}
