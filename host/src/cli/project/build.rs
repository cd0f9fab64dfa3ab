//! `fusebox build`: runs a project's build command, and checks the module as a host does at its registration.

use std::{
    fs, io,
    os::fd::AsFd as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use bytesize::ByteSize;
use clap::Args;
use fusebox_core::capability::Grants;
use fusebox_sandbox::Inspected;
use fusebox_ui::{self as ui, OutputFormat};
use serde_json::json;

use super::{
    local,
    opened::Project,
    toolchain::{self, Machine},
};

/// Arguments of `fusebox build`.
#[derive(Debug, Args)]
#[command(after_help = "\
Runs the command of [build] in fusebox.toml, and checks the module that it writes as a host with default settings does.
The host gets a copy without custom sections, except the names of functions: .fusebox/module.wasm.

Example:
  fusebox build
  fusebox build shop --output json      also prints description and JSON Schemas, for tools")]
pub struct BuildArgs {
    /// The project's folder, with fusebox.toml
    #[arg(default_value = ".", hide_default_value = true, value_name = "DIR")]
    pub project: PathBuf,
}

/// Module of a project, built and checked.
pub(super) struct Built {
    /// The module without custom sections.
    pub(super) wasm: Vec<u8>,
    /// Properties that inspection found.
    pub(super) inspected: Inspected,
    /// Size of the module before custom sections were removed.
    pub(super) raw_bytes: u64,
}

/// Builds a project and prints what was built.
///
/// # Errors
/// Fails if the toolchain is missing, the command fails, or the module is not a valid function.
pub fn run(args: &BuildArgs, format: OutputFormat) -> anyhow::Result<()> {
    let project = Project::open(&args.project)?;
    let built = build(&project)?;
    let [input, output] = &project.schemas;
    if format == OutputFormat::Json {
        return ui::json(&json!({
            "name": project.manifest.name.0.as_str(),
            "description": project.manifest.description,
            "module": project.built(),
            "module_bytes": built.wasm.len(),
            "abi": built.inspected.abi.as_str(),
            "needs": built.inspected.needs.iter().map(|need| need.as_str()).collect::<Vec<_>>(),
            "grants": project.grants.each().map(|grant| grant.to_string()).collect::<Vec<_>>(),
            "schema": {"input": input, "output": output},
        }));
    }
    ui::say(line(&project, &built))
}

/// Returns the line about a module that was built.
pub(super) fn line(project: &Project, built: &Built) -> String {
    let (abi, size) = (built.inspected.abi.as_str(), ByteSize(built.wasm.len() as u64));
    let raw = match built.raw_bytes == built.wasm.len() as u64 {
        true => String::new(),
        false => format!(", {} before custom sections were removed", ByteSize(built.raw_bytes)),
    };
    format!("built {}  {abi} ABI, {size}{raw}", project.manifest.name.0.as_str())
}

/// Builds a project, and checks and keeps its module.
///
/// # Errors
/// Same as [`run`].
pub(super) fn build(project: &Project) -> anyhow::Result<Built> {
    compile(project)?;
    let path = project.module().context("[build] has no `module`")?;
    let raw = fs::read(&path).map_err(|error| {
        let span = project.manifest.build.module.as_ref().map(toml::Spanned::span);
        let why = match &project.manifest.build.command {
            Some(_) => "the command of [build] did not write it: correct `module` or `command`",
            None => "[build] has no `command` that writes it: add one",
        };
        project.misplaced(span, format!("cannot read the module {}: {error}; {why}", path.display()))
    })?;
    let inspected = local::inspect(&raw)?;
    checked_grants(&inspected, &project.grants).context("fusebox.toml: add what is missing to `grants`")?;
    let wasm = fusebox_sandbox::stripped(&raw).into_owned();
    // The copy is what a host gets, so the copy is what it is checked for.
    let inspected = Inspected { digest: fusebox_sandbox::digest(&wasm), ..inspected };
    let to = project.built();
    let kept = to.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&to, &wasm));
    kept.with_context(|| format!("cannot write {}", to.display()))?;
    Ok(Built { wasm, inspected, raw_bytes: raw.len() as u64 })
}

/// Runs the build's command; what it prints goes to stderr.
fn compile(project: &Project) -> anyhow::Result<()> {
    let machine = Machine::this();
    let toolchain = toolchain::find(project, &machine)?;
    let Some(command) = &project.manifest.build.command else { return Ok(()) };
    let said = || anyhow::Ok(Stdio::from(io::stderr().as_fd().try_clone_to_owned()?));
    let mut shell = Command::new("/bin/sh");
    shell
        .arg("-c")
        .arg(command.get_ref())
        .current_dir(&project.dir)
        .stdin(Stdio::null())
        .stdout(said()?)
        .stderr(said()?);
    shell.envs(toolchain.env.iter().map(|(name, value)| (name, value)));
    let status = shell.status().context("cannot run the build command with /bin/sh")?;
    if status.success() {
        return Ok(());
    }
    if let Some(missing) = toolchain::explain(project, &machine, &toolchain) {
        return Err(missing.into());
    }
    let message = format!("the build command failed ({status}): {}", command.get_ref());
    Err(project.misplaced(Some(command.span()), message).into())
}

/// Refuses a module that imports capabilities it is not granted, with the host's sentence.
pub(super) fn checked_grants(inspected: &Inspected, grants: &Grants) -> anyhow::Result<()> {
    Ok(grants.check(&inspected.needs)?)
}
