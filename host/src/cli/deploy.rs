//! `fusebox deploy`: registers a function, or the next version of one.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use fusebox_api::{
    functions::{FunctionView, LimitParams},
    setup::SetupParams,
};
use fusebox_client::{Client, ClientError, Module};
use fusebox_core::{
    capability::{Grant, Grants, SettingName},
    function::Abi,
    limits::{MODULE_BYTES_CEILING, WAIT_SECONDS_MAX},
};
use fusebox_ui::{self as ui, progress::Transfer};
use tokio::task::spawn_blocking;

use crate::{
    cli::{
        args::HostArgs,
        files::{self, Mount},
        project::{changes, deploy as of_project},
        script::{self, Source},
    },
    node::args::LimitArgs,
};
use fusebox_ui::OutputFormat;

/// Function to register.
#[derive(Debug, Args)]
#[command(after_help = "\
A function is a core wasm module: built with the guest SDK for wasm32-unknown-unknown, or any program that reads stdin
and writes stdout, for wasm32-wasip1. Or it is a script with a function `handle(input)`, in Python or JavaScript,
which a runtime of the host runs: no toolchain is needed. Packages of a requirements.txt or package.json beside it are sent
with it. Deploying a name again creates its next version; the name then refers to the newest.

Its imports determine the grants that it needs: config, secrets, kv, and http=HOST for each host to which it may send
requests, such as http=api.example.com, http=*.example.com or http=api.example.com:8443.

Without a file, or with a folder, the project there is built and deployed as its fusebox.toml says; flags win over it. If
the name has a version already, the differences from it are shown.

Example:
  fusebox deploy
  fusebox deploy target/wasm32-unknown-unknown/guest/hello.wasm --name hello --wall 500ms --memory 16MiB
  fusebox deploy counter.wasm --grant kv --grant http=api.example.com
  fusebox deploy tool.wasm --arg=--verbose --env LEVEL=3 --files fonts:/usr/share/fonts
  fusebox deploy greeter/handler.py --wall 2s

A module with more than 3 MiB of code is compiled after its registration: deploy waits for it and shows the progress,
unless --no-wait is given. If that fails, the name still refers to the version before.")]
pub struct DeployArgs {
    /// The module, a .wasm file, a script, a .py, .js or .mjs file, or a project's folder [default: the project in this
    /// folder]
    pub file: Option<PathBuf>,
    /// The function's name [default: the file's name without its ending, or its directory's for handler.py and the like]
    #[arg(long)]
    pub name: Option<String>,
    /// Language of a script, or its runtime, such as python3.11 [default: by the file's ending]
    #[arg(long, value_name = "NAME")]
    pub language: Option<String>,
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
    /// Answer with this content type, such as image/png, instead of application/octet-stream
    #[arg(long, value_name = "TYPE")]
    pub content_type: Option<String>,
    /// Serve the function's HTTP requests without an API key
    #[arg(long)]
    pub public: bool,
    /// Return once the module is sent and checked, while the host compiles one with more than 3 MiB of code
    #[arg(long)]
    pub no_wait: bool,
    /// Limits of one run.
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    host: HostArgs,
}

/// Content of a deploy.
#[derive(Clone)]
pub(crate) struct Sending {
    /// The function's name.
    pub(crate) name: String,
    /// Its module.
    pub(crate) wasm: Vec<u8>,
    /// Directories of files that its runs see.
    pub(crate) mounts: Vec<Mount>,
    /// Limits of each run.
    pub(crate) limits: LimitParams,
    /// Capabilities that it is granted.
    pub(crate) grants: Vec<Grant>,
    /// Way to start it.
    pub(crate) setup: SetupParams,
    /// Configuration values that are set once it is registered.
    pub(crate) config: BTreeMap<SettingName, String>,
    /// True if it is made to answer HTTP requests.
    pub(crate) is_http: bool,
}

impl Sending {
    /// Returns what a deploy of a module file sends.
    fn of_file(file: &Path, args: DeployArgs) -> anyhow::Result<Self> {
        let setup = args.setup();
        let name = match args.name {
            Some(name) => name,
            None => file.file_stem().context("the file has no name: use --name")?.to_string_lossy().into_owned(),
        };
        let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
        anyhow::ensure!(
            size <= MODULE_BYTES_CEILING,
            "{} has {}, and no host takes more than {}: strip debug information, or optimise it for size with wasm-opt -Oz",
            file.display(),
            ByteSize(size),
            ByteSize(MODULE_BYTES_CEILING)
        );
        let wasm = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let (limits, config) = (args.limits.params(), BTreeMap::new());
        Ok(Self { name, wasm, mounts: args.files, limits, grants: args.grants, setup, config, is_http: false })
    }
}

/// Registers the function.
///
/// # Errors
/// Fails if the file is not a valid function, the project cannot be built, or the host does not answer.
pub async fn run(args: DeployArgs, format: OutputFormat) -> anyhow::Result<()> {
    if let Some(file) = args.file.clone()
        && script::is_script(&file, args.language.as_deref())
    {
        return run_script(&file, args, format).await;
    }
    let (host, no_wait, file) = (args.host.clone(), args.no_wait, args.file.clone());
    let sending = match (of_project::project(file.as_ref())?, file) {
        (Some(project), _) => Sending::of(&project, args)?,
        (None, Some(file)) => Sending::of_file(&file, args)?,
        (None, None) => anyhow::bail!("name a module, a script or a project's folder"),
    };
    send(sending, &host, no_wait, format).await
}

/// Sends what is deployed, and prints the version and its differences from the one before.
///
/// # Errors
/// Fails if the host refuses it or does not answer.
pub(crate) async fn send(sending: Sending, host: &HostArgs, no_wait: bool, format: OutputFormat) -> anyhow::Result<()> {
    let Sending { name, wasm, mounts, limits, grants, setup, config, is_http } = sending;
    let grants = Grants::of(grants)?;
    let client = host.client()?;
    let files = files::pack(&mounts)?;
    let before = if format == OutputFormat::Json { None } else { newest(&client, &name).await? };
    let all = wasm.len() as u64 + files.as_ref().map_or(0, |files| files.len() as u64);
    let progress = Transfer::start(format!("sending {name}"), all, format!("checking {name}"));
    let sent = progress.clone();
    let module = Module::watched(wasm, move |bytes| sent.sent(bytes));
    let registered = client.deploy(&name, limits, &grants, &setup, module, files).await?;
    let function = if no_wait { registered } else { compiled(&client, registered, &progress).await? };
    drop(progress);
    for (setting, value) in &config {
        client.set_setting(&name, "config", setting.as_str(), value.clone().into_bytes()).await?;
    }
    told(&function, before.as_ref(), host, is_http, format)
}

/// Registers a script.
async fn run_script(file: &Path, args: DeployArgs, format: OutputFormat) -> anyhow::Result<()> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => script::name(file)?,
    };
    let (path, language) = (file.to_owned(), args.language.clone());
    let mut source = spawn_blocking(move || Source::read(&path, language.as_deref())).await??;
    let files = files::joined(source.files.take(), files::pack(&args.files)?);
    let grants = Grants::of(args.grants.clone())?;
    let (client, setup) = (args.host.client()?, args.setup());
    let before = if format == OutputFormat::Json { None } else { newest(&client, &name).await? };
    let all = source.text.len() + files.as_ref().map_or(0, Vec::len);
    let progress = Transfer::start(format!("sending {name}"), all as u64, format!("checking {name}"));
    let sent = progress.clone();
    let text = Module::watched(source.text.clone(), move |bytes| sent.sent(bytes));
    let limits = args.limits.params();
    let registered = client.deploy_script(&name, limits, &grants, &setup, &source.params, text, files).await;
    drop(progress);
    let function = registered.map_err(|error| script::explained(&source, error))?;
    told(&function, before.as_ref(), &args.host, false, format)
}

impl DeployArgs {
    fn setup(&self) -> SetupParams {
        SetupParams {
            arg: self.args.clone(),
            env: self.env.clone(),
            export: self.export.clone(),
            public: self.public.then_some(true),
            content_type: self.content_type.clone(),
        }
    }
}

/// Says what was registered.
fn told(
    function: &FunctionView,
    before: Option<&FunctionView>,
    host: &HostArgs,
    is_http: bool,
    format: OutputFormat,
) -> anyhow::Result<()> {
    if format == OutputFormat::Json {
        return ui::json(function);
    }
    say(function, before, host, is_http)
}

/// Prints a registered version.
fn say(function: &FunctionView, before: Option<&FunctionView>, host: &HostArgs, is_http: bool) -> anyhow::Result<()> {
    let compiled = match function.compile_ms {
        _ if let Some(runtime) = &function.runtime => format!("runs on {runtime}"),
        Some(0) => "already compiled".to_owned(),
        Some(ms) => format!("compiled in {ms} ms"),
        None => function.state.clone(),
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
    if let Some(before) = before {
        let lines = changes::between(before, function);
        if !lines.is_empty() {
            ui::say(format!("Differences from version {}:", before.version))?;
        }
        lines.iter().try_for_each(|line| ui::say(format!("  {line}")))?;
    }
    if function.is_compiling() {
        return ui::say(format!("It can run once it is ready:  fusebox functions {}", function.name));
    }
    if function.public || is_http || function.abi == Abi::Http.as_str() {
        ui::say(format!("Open it:  {}", endpoint(&host.url, &function.name)))?;
    }
    ui::say(format!("Run it:  fusebox invoke {} --data TEXT", function.name))
}

/// Returns the newest version of a name; `None` if there is none, or the key may not see it.
async fn newest(client: &Client, name: &str) -> anyhow::Result<Option<FunctionView>> {
    match client.function(name).await {
        Ok(function) => Ok(Some(function)),
        Err(ClientError::Problem(problem)) if matches!(problem.status, 403 | 404) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a version is no longer being compiled. Returns it with what only its registration says.
///
/// # Errors
/// Fails with the reason and what to do if it could not be compiled, and if the host does not answer.
async fn compiled(client: &Client, registered: FunctionView, progress: &Transfer) -> anyhow::Result<FunctionView> {
    let (name, version) = (&registered.name, registered.version);
    let mut function = registered.clone();
    while function.is_compiling() {
        progress.wait(format!("compiling {name} version {version} (Ctrl-C leaves it to the host)"));
        function = client.compiled(&function.id, WAIT_SECONDS_MAX).await?;
    }
    if let Some(error) = function.error {
        anyhow::bail!(
            "{name} version {version} could not be compiled ({}): {}\nIt is kept as failed until you delete it: \
             fusebox functions {} --delete",
            error.code,
            error.message,
            function.id
        );
    }
    Ok(FunctionView { compile_ms: registered.compile_ms, new_grants: registered.new_grants, ..function })
}

/// Returns the URL at which a function answers HTTP requests.
fn endpoint(host: &str, name: &str) -> String {
    let encoded: String = url::form_urlencoded::byte_serialize(name.as_bytes()).collect();
    // A path, unlike a form, has no plus signs for spaces.
    format!("{}/fn/{}/", host.trim_end_matches('/'), encoded.replace('+', "%20"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_encoded_in_its_url() {
        assert_eq!(endpoint("http://127.0.0.1:8000/", "hello-7"), "http://127.0.0.1:8000/fn/hello-7/");
        assert_eq!(endpoint("https://h.example", "a b/é+"), "https://h.example/fn/a%20b%2F%C3%A9%2B/");
    }
}
