//! `fusebox run`: runs a file once in this process, without a server.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use clap::Args;
use fusebox_api::{setup::SetupParams, tasks::ReceiptView};
use fusebox_core::{
    capability::{Grant, Grants, SettingName},
    outcome::{Ended, Failure},
    setup::Start,
};
use fusebox_sandbox::HostCalls;
use fusebox_ui::{self as ui, OutputFormat, receipt};
use serde_json::json;

use super::{
    build::checked_grants,
    local::{
        self, Function, Local,
        calls::{Calls, Supplies},
    },
};
use crate::{
    cli::{
        files::{self, Mount},
        input,
        report::FunctionsFailed,
    },
    node::{args::LimitArgs, egress::EgressArgs},
};

/// File to run, with its input.
#[derive(Debug, Args)]
#[command(after_help = "\
The file is checked, limited and jailed as on a host. Its key-value namespace is in memory and ends with the run; HTTP
requests to granted hosts are sent. The receipt goes to stderr.

Examples:
  fusebox run hello.wasm --data Ada
  echo '[1, 2]' | fusebox run sum.wasm --cpu 2s --memory 128MiB
  fusebox run resvg.wasm --input picture.svg -- --width 200 - -c > picture.png
  fusebox run shop.wasm --grant kv --grant secrets --secret API_KEY --grant http=api.example.com < order.json")]
pub struct RunArgs {
    /// The file: a module
    pub file: PathBuf,
    /// The input, as text
    #[arg(long, short, value_name = "TEXT", conflicts_with = "input")]
    pub data: Option<String>,
    /// The input, from a file; without --data and --input it is read from stdin
    #[arg(long, short, value_name = "PATH")]
    pub input: Option<PathBuf>,
    /// Grant a capability: config, secrets, kv or http=HOST; may be given several times
    #[arg(long = "grant", value_name = "GRANT")]
    pub grants: Vec<Grant>,
    /// Configuration value of the run; may be given several times
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = setting)]
    pub settings: Vec<(SettingName, String)>,
    /// Secret of the run, taken from the environment variable of this name; may be given several times
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<SettingName>,
    /// Environment variable of the run; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Show the run the files of this directory, read-only, below / or below this path; may be given several times
    #[arg(long, value_name = "DIR[:/AT]")]
    pub files: Vec<Mount>,
    /// Enter this exported function, if the module leaves the choice
    #[arg(long, value_name = "NAME")]
    pub export: Option<String>,
    /// Print the log to stderr; that of a failed run is printed in any case
    #[arg(long)]
    pub logs: bool,
    /// Limits of the run.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// HTTP requests of the run.
    #[command(flatten)]
    pub egress: EgressArgs,
    /// Arguments of the run
    #[arg(last = true, value_name = "ARG")]
    pub args: Vec<String>,
}

/// Runs the file.
///
/// # Errors
/// Fails if the file is not a valid function, the run fails, or a value that it requires is missing.
pub async fn run(args: RunArgs, format: OutputFormat) -> anyhow::Result<()> {
    let wasm = std::fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let sends = args.grants.iter().any(|grant| matches!(grant, Grant::Http(_)));
    let http = sends.then(|| args.egress.sender()).transpose()?;
    let http = http.map(|egress| Arc::new(egress) as Arc<dyn HostCalls>);
    let input = input::read(args.data.as_deref(), args.input.as_deref(), "--input")?;
    let supplies = supplies(&args)?;
    let ended = tokio::task::spawn_blocking(move || {
        let local = Local::open()?;
        let grants = Grants::of(args.grants)?;
        let setup = SetupParams { arg: args.args, env: args.env, export: args.export, ..SetupParams::default() };
        let setup = local.with_files(setup.read()?, files::pack(&args.files)?)?;
        let (inspected, module) = local.load(&wasm)?;
        checked_grants(&inspected, &grants)?;
        let name = args.file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let limits = local::limits(args.limits.params())?;
        let function = Function { name: name.parse()?, module, inspected, limits, grants, setup };
        let ended = local.run(&function, Start::default(), input.into(), Arc::new(Calls::new(&supplies, http)))?;
        anyhow::Ok((ended, args.logs))
    });
    let (ended, logs) = ended.await??;
    print(&ended, logs, format)
}

fn supplies(args: &RunArgs) -> anyhow::Result<Supplies> {
    let secret = |name: &SettingName| {
        let value = std::env::var_os(name.as_str()).and_then(|value| value.into_string().ok());
        let value = value.with_context(|| format!("--secret {name}: set the environment variable {name}"))?;
        anyhow::Ok((name.clone(), value))
    };
    let secrets = args.secrets.iter().map(secret).collect::<anyhow::Result<BTreeMap<_, _>>>()?;
    Ok(Supplies::new(args.settings.iter().cloned().collect(), secrets))
}

fn setting(text: &str) -> Result<(SettingName, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.parse().map_err(|error| format!("{error}"))?, value.to_owned()))
}

/// Prints output, log and receipt of a run.
fn print(ended: &Ended, logs: bool, format: OutputFormat) -> anyhow::Result<()> {
    let log = String::from_utf8_lossy(&ended.log);
    let used = ReceiptView::from(&ended.receipt);
    if format == OutputFormat::Json && ended.failure.is_none() {
        return ui::json(&json!({"output": STANDARD.encode(&ended.output), "receipt": used, "log": log}));
    }
    if (logs || ended.failure.is_some()) && !log.trim().is_empty() {
        ui::note(log.trim_end());
    }
    if ended.failure.is_none() {
        ui::raw(&ended.output)?;
    }
    ui::note(receipt::line(&used));
    ended.failure.as_ref().map_or(Ok(()), |failure| Err(failed(failure)))
}

/// Returns the error of a failed run: its code, its message and its frames.
pub(super) fn failed(failure: &Failure) -> anyhow::Error {
    let mut text = format!("{}: {}", failure.code, failure.message);
    failure.backtrace.iter().for_each(|frame| text.push_str(&format!("\n  at {frame}")));
    FunctionsFailed(text).into()
}
