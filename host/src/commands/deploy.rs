//! `fusebox deploy`: registers a function, or the next version of one.

use std::path::PathBuf;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use fusebox_core::limits::MODULE_BYTES_MAX;

use crate::{
    cli::{HostArgs, LimitArgs, OutputFormat},
    client::Client,
    ui::{self, progress::Spinner},
};

/// What to register.
#[derive(Debug, Args)]
#[command(after_help = "\
A function is a core wasm module: built with the guest SDK for wasm32-unknown-unknown, or any program that reads stdin
and writes stdout, for wasm32-wasip1. Deploying a name again makes its next version; the name then means the newest.

Example:
  fusebox deploy target/wasm32-unknown-unknown/guest/hello.wasm --name hello --wall 500ms --memory 16MiB")]
pub struct DeployArgs {
    /// The module, a .wasm file
    pub file: PathBuf,
    /// The function's name [default: the file's name without .wasm]
    #[arg(long)]
    pub name: Option<String>,
    /// What one run may use.
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// Registers it.
///
/// # Errors
/// Where the file is no function, or the host does not answer.
pub async fn run(args: DeployArgs, format: OutputFormat) -> anyhow::Result<()> {
    let name = match args.name {
        Some(name) => name,
        None => args.file.file_stem().context("the file has no name: give --name")?.to_string_lossy().into_owned(),
    };
    let size = std::fs::metadata(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?.len();
    anyhow::ensure!(size <= MODULE_BYTES_MAX, "{} is larger than a module may be, 16 MiB", args.file.display());
    let wasm = std::fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let spinner = Spinner::start(format!("compiling {name} ({})", ByteSize(size)));
    let deployed = Client::of(&args.host)?.register(&name, args.limits, wasm).await;
    spinner.end();
    let function = deployed?;
    if format == OutputFormat::Json {
        return ui::json(&function);
    }
    let compiled = match function.compile_ms {
        Some(0) | None => "already compiled".to_owned(),
        Some(ms) => format!("compiled in {ms} ms"),
    };
    ui::say(format!(
        "{} version {}  {}  {} ABI, {}, {compiled}",
        function.name,
        function.version,
        function.id,
        function.abi,
        ByteSize(function.module_bytes)
    ))?;
    ui::say(format!("Run it:  fusebox invoke {} --data TEXT", function.name))
}
