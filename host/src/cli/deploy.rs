//! `fusebox deploy`: registers a function, or the next version of one.

use std::path::PathBuf;

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use fusebox_api::setup::SetupParams;
use fusebox_core::{
    capability::{Grant, Grants},
    limits::MODULE_BYTES_MAX,
};
use fusebox_ui::{self as ui, progress::Spinner};

use crate::{
    cli::{
        args::HostArgs,
        files::{self, Mount},
    },
    node::args::LimitArgs,
};
use fusebox_ui::OutputFormat;

/// Function to register.
#[derive(Debug, Args)]
#[command(after_help = "\
A function is a core wasm module: built with the guest SDK for wasm32-unknown-unknown, or any program that reads stdin
and writes stdout, for wasm32-wasip1. Deploying a name again creates its next version; the name then refers to the newest.

Its imports determine the grants that it needs: config, secrets, kv, and http=HOST for each host to which it may send
requests, such as http=api.example.com, http=*.example.com or http=api.example.com:8443.

Example:
  fusebox deploy target/wasm32-unknown-unknown/guest/hello.wasm --name hello --wall 500ms --memory 16MiB
  fusebox deploy counter.wasm --grant kv --grant http=api.example.com
  fusebox deploy tool.wasm --arg=--verbose --env LEVEL=3 --files fonts:/usr/share/fonts")]
pub struct DeployArgs {
    /// The module, a .wasm file
    pub file: PathBuf,
    /// The function's name [default: the file's name without .wasm]
    #[arg(long)]
    pub name: Option<String>,
    /// Grant a capability: config, secrets, kv or http=HOST; may be given several times
    #[arg(long = "grant", value_name = "GRANT")]
    pub grants: Vec<Grant>,
    /// Give each run this argument, before those of `fusebox invoke`; may be given several times
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// Give each run this environment variable; may be given several times, and is no place for secrets
    #[arg(long, value_name = "NAME=VALUE")]
    pub env: Vec<String>,
    /// Show each run the files of this directory, read-only, below / or below this path; may be given several times
    #[arg(long, value_name = "DIR[:/AT]")]
    pub files: Vec<Mount>,
    /// Enter this exported function, if the module leaves the choice
    #[arg(long, value_name = "NAME")]
    pub export: Option<String>,
    /// Serve the function's HTTP requests without an API key
    #[arg(long)]
    pub public: bool,
    /// Limits of one run.
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// Registers the function.
///
/// # Errors
/// Fails if the file is not a valid function, or the host does not answer.
pub async fn run(args: DeployArgs, format: OutputFormat) -> anyhow::Result<()> {
    let name = match args.name {
        Some(name) => name,
        None => args.file.file_stem().context("the file has no name: use --name")?.to_string_lossy().into_owned(),
    };
    let size = std::fs::metadata(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?.len();
    anyhow::ensure!(size <= MODULE_BYTES_MAX, "{} is larger than 16 MiB, the maximum of a module", args.file.display());
    let wasm = std::fs::read(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let grants = Grants::of(args.grants)?;
    let spinner = Spinner::start(format!("compiling {name} ({})", ByteSize(size)));
    let files = files::pack(&args.files)?;
    let setup = SetupParams { arg: args.args, env: args.env, export: args.export, public: args.public.then_some(true) };
    let deployed = args.host.client()?.deploy(&name, args.limits.params(), &grants, &setup, wasm, files).await;
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
    if !function.grants.is_empty() {
        ui::say(format!("Granted: {}", function.grants.join(", ")))?;
    }
    match function.new_grants.as_deref() {
        None | Some([]) => {}
        Some(new) => ui::say(format!("New since the previous version: {}", new.join(", ")))?,
    }
    ui::say(format!("Run it:  fusebox invoke {} --data TEXT", function.name))
}
