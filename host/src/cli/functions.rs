//! `fusebox functions`: lists functions, shows one, or deletes one.

use bytesize::ByteSize;
use clap::Args;
use fusebox_api::functions::FunctionView;
use fusebox_ui::{self as ui, table::Table};

use crate::cli::args::HostArgs;
use fusebox_ui::OutputFormat;

/// Selection of functions.
#[derive(Debug, Args)]
pub struct FunctionsArgs {
    /// Show one function with its versions: a name or a version id
    pub function: Option<String>,
    /// Delete it: one version by its id, or every version of a name
    #[arg(long, requires = "function")]
    pub delete: bool,
    #[command(flatten)]
    host: HostArgs,
}

/// Lists, shows or deletes functions.
///
/// # Errors
/// Fails if there is no such function, or the host does not answer.
pub async fn run(args: FunctionsArgs, format: OutputFormat) -> anyhow::Result<()> {
    let client = args.host.client()?;
    let functions = match (&args.function, args.delete) {
        (Some(function), true) => {
            client.delete_function(function).await?;
            return ui::say(format!("{function} is deleted; tasks accepted before still run"));
        }
        (Some(function), false) => client.versions(function).await?,
        (None, _) => client.functions().await?,
    };
    match format {
        OutputFormat::Json => ui::json(&functions),
        OutputFormat::Text if functions.is_empty() => {
            ui::say("There are no functions yet:  fusebox deploy FILE.wasm --name NAME")
        }
        OutputFormat::Text => {
            ui::say(table(&functions))?;
            for FunctionView { name, version, error, .. } in &functions {
                if let Some(error) = error {
                    ui::say(format!("{name} version {version} failed ({}): {}", error.code, error.message))?;
                }
            }
            Ok(())
        }
    }
}

fn table(functions: &[FunctionView]) -> String {
    let mut table = Table::new([
        "NAME",
        "VERSION",
        "ID",
        "ABI",
        "SIZE",
        "CPU",
        "FUEL",
        "WALL",
        "MEMORY",
        "GRANTS",
        "STATE",
        "REGISTERED",
    ]);
    for function in functions {
        table.row([
            function.name.clone(),
            function.version.to_string(),
            function.id.clone(),
            function.abi.clone(),
            ByteSize(function.module_bytes).to_string(),
            format!("{} ms", function.limits.cpu_ms),
            ui::count(function.limits.fuel),
            format!("{} ms", function.limits.wall_ms),
            ByteSize(function.limits.memory_bytes).to_string(),
            match function.grants.is_empty() {
                true => "none".to_owned(),
                false => function.grants.join(","),
            },
            function.state.clone(),
            function.created_at.clone(),
        ]);
    }
    table.to_string()
}
