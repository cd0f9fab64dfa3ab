//! `fusebox tenants set` and `show`: quotas of a tenant.

use std::time::Duration;

use clap::Args;
use fusebox_api::quotas::{QuotaUse, QuotaValues, QuotasView};
use fusebox_core::{keep::Keep, name::TenantId, quota::QuotaSettings};
use fusebox_store::{Acting, Store};
use fusebox_ui::{self as ui, table::Table};

use crate::{
    cli::keys::{Door, DoorArgs},
    node::args,
    tenancy::admin,
};
use fusebox_ui::OutputFormat;

/// Tenant whose quotas are shown.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The tenant
    name: TenantId,
    #[command(flatten)]
    door: DoorArgs,
}

/// Tenant and its new quotas: each a number, or `default`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// The tenant
    name: TenantId,
    /// Limit of function versions
    #[arg(long, value_name = "N|default")]
    functions: Option<Bound>,
    /// Limit of stored bytes: inputs, outputs, logs, values, settings and modules; at most half of the store
    #[arg(long, value_name = "N|default")]
    stored_bytes: Option<Bound>,
    /// Limit of queued tasks
    #[arg(long, value_name = "N|default")]
    queued_tasks: Option<Bound>,
    /// Limit of leased attempts at one dispatcher, and of sync invokes at one REST node
    #[arg(long, value_name = "N|default")]
    running_tasks: Option<Bound>,
    /// Limit of fuel that runs reserve: each reserves its fuel limit, and returns the rest if it ends normally
    #[arg(long, value_name = "N|default")]
    fuel_per_minute: Option<Bound>,
    /// Limit of requests to one REST node
    #[arg(long, value_name = "N|default")]
    requests_per_second: Option<Bound>,
    /// Limit of seconds per hour for the compilation of deploys
    #[arg(long, value_name = "N|default")]
    compile_s_per_hour: Option<Bound>,
    /// Time for which completed and cancelled tasks are kept, such as 1h; at most the host's own
    #[arg(long, value_name = "TIME|default")]
    keep_results: Option<Kept>,
    /// Time for which dead letters are kept, such as 7d; at most the host's own
    #[arg(long, value_name = "TIME|default")]
    keep_failed: Option<Kept>,
    #[command(flatten)]
    door: DoorArgs,
}

/// A quota as given; `None` for `default`.
#[derive(Clone, Copy, Debug)]
struct Bound(Option<u64>);

impl std::str::FromStr for Bound {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "default" => Ok(Self(None)),
            number => match number.replace(['_', ','], "").parse() {
                Ok(number) => Ok(Self(Some(number))),
                Err(_) => Err("expected a number or `default`".to_owned()),
            },
        }
    }
}

/// A retention as given, in seconds; `None` for `default`.
#[derive(Clone, Copy, Debug)]
struct Kept(Option<u64>);

impl std::str::FromStr for Kept {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" { Ok(Self(None)) } else { args::kept(text).map(|kept_s| Self(Some(kept_s))) }
    }
}

/// Shows a tenant's quotas.
///
/// # Errors
/// Fails if there is no such tenant, or the host or store does not answer.
pub async fn show(args: ShowArgs, format: OutputFormat) -> anyhow::Result<()> {
    let view = match args.door.open().await? {
        Door::Host(client) => client.quotas(args.name.as_str()).await?,
        Door::Store(store) => at_store(&*store, &args.name, admin::quotas(&*store, &args.name).await?).await?,
    };
    tell(&view, format)
}

/// Sets the given quotas and leaves the others unchanged.
///
/// # Errors
/// Fails if there is no such tenant, or the host or store does not answer.
pub async fn set(args: SetArgs, format: OutputFormat) -> anyhow::Result<()> {
    let name = args.name.clone();
    let view = match args.door.open().await? {
        Door::Host(client) => {
            let set = client.quotas(name.as_str()).await?.set;
            client.set_quotas(name.as_str(), &args.onto(set)).await?
        }
        Door::Store(store) => {
            let set: QuotaSettings = args.onto(admin::quotas(&*store, &name).await?.into()).into();
            admin::set_quotas(&*store, Acting::Store, &name, set, Keep::MOST).await?;
            at_store(&*store, &name, set).await?
        }
    };
    tell(&view, format)
}

impl SetArgs {
    /// Returns `set` with the given quotas replaced.
    fn onto(&self, set: QuotaValues) -> QuotaValues {
        let pick = |given: Option<Bound>, set: Option<u64>| given.map_or(set, |bound| bound.0);
        QuotaValues {
            functions: pick(self.functions, set.functions),
            stored_bytes: pick(self.stored_bytes, set.stored_bytes),
            queued_tasks: pick(self.queued_tasks, set.queued_tasks),
            running_tasks: pick(self.running_tasks, set.running_tasks),
            fuel_per_minute: pick(self.fuel_per_minute, set.fuel_per_minute),
            requests_per_second: pick(self.requests_per_second, set.requests_per_second),
            compile_s_per_hour: pick(self.compile_s_per_hour, set.compile_s_per_hour),
            keep_results_s: self.keep_results.map_or(set.keep_results_s, |kept| kept.0),
            keep_failed_s: self.keep_failed.map_or(set.keep_failed_s, |kept| kept.0),
        }
    }
}

/// Returns the view without a host, which alone knows its retention: in its place the default, where none is set.
async fn at_store(store: &dyn Store, tenant: &TenantId, set: QuotaSettings) -> anyhow::Result<QuotasView> {
    let Keep { results_s, failed_s } = Keep::DEFAULT;
    let (results_s, failed_s) = (set.keep_results_s.unwrap_or(results_s), set.keep_failed_s.unwrap_or(failed_s));
    Ok(admin::quotas_view(store, tenant, set, Keep { results_s, failed_s }).await?)
}

fn tell(view: &QuotasView, format: OutputFormat) -> anyhow::Result<()> {
    if format == OutputFormat::Json {
        return ui::json(view);
    }
    let (set, may) = (&view.set, &view.may);
    let mut table = Table::new(["QUOTA", "USED", "LIMIT", "SOURCE"]);
    let QuotaUse { stored_bytes, compile_s_per_hour } = view.used;
    for (name, used, may, set) in [
        ("functions", None, may.functions, set.functions),
        ("stored-bytes", Some(stored_bytes), may.stored_bytes, set.stored_bytes),
        ("queued-tasks", None, may.queued_tasks, set.queued_tasks),
        ("running-tasks", None, may.running_tasks, set.running_tasks),
        ("fuel-per-minute", None, may.fuel_per_minute, set.fuel_per_minute),
        ("requests-per-second", None, may.requests_per_second, set.requests_per_second),
        ("compile-s-per-hour", Some(compile_s_per_hour), may.compile_s_per_hour, set.compile_s_per_hour),
    ] {
        let shown = may.map_or_else(|| "no bound".to_owned(), ui::count);
        table.row([name.to_owned(), used.map(ui::count).unwrap_or_default(), shown, source(set)]);
    }
    for (name, may, set) in [
        ("keep-results", may.keep_results_s, set.keep_results_s),
        ("keep-failed", may.keep_failed_s, set.keep_failed_s),
    ] {
        let time = Duration::from_secs(may.unwrap_or_default());
        table.row([name.to_owned(), String::new(), humantime::format_duration(time).to_string(), source(set)]);
    }
    ui::say(table.to_string())
}

fn source(set: Option<u64>) -> String {
    if set.is_some() { "set" } else { "default" }.to_owned()
}
