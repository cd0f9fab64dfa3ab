//! `fusebox tenants`: creates, lists and deletes tenants, through a host or at its store.

use clap::{Args, Subcommand};
use fusebox_api::tenants::TenantView;
use fusebox_core::name::TenantId;
use fusebox_store::Acting;
use fusebox_ui::{self as ui, table::Table};

use crate::{
    cli::{
        deletion::{self, DeleteArgs},
        keys::{Door, DoorArgs},
        quotas::{self, SetArgs, ShowArgs},
    },
    rest,
    tenancy::admin,
};
use fusebox_ui::OutputFormat;

/// Arguments of `fusebox tenants`.
#[derive(Debug, Args)]
#[command(after_help = "\
A tenant has its own functions, tasks and keys, and no access to those of others. Managing tenants requires the operator's
key, which is an admin key of the tenant `default`, or the store itself.

Examples:
  fusebox tenants create acme
  fusebox keys create --tenant acme --scope admin --name owner
  fusebox tenants set acme --requests-per-second 100 --fuel-per-minute 1_200_000_000_000
  fusebox tenants delete acme                     asks first; with --yes it does not, for programs")]
pub struct TenantsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a tenant; it has no keys yet
    Create(OneArgs),
    /// List tenants
    List(DoorArgs),
    /// Show a tenant's quotas
    Show(ShowArgs),
    /// Set a tenant's quotas
    Set(SetArgs),
    /// Delete a tenant with all it has: functions, tasks, results, values, settings, secrets and keys
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Name of the tenant: 1 to 64 of a-z, 0-9, - and _
    name: TenantId,
    #[command(flatten)]
    door: DoorArgs,
}

/// Creates, lists, shows, changes or deletes tenants.
///
/// # Errors
/// Fails if the action is refused, or the host or store does not answer.
pub async fn run(args: TenantsArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.action {
        Action::Create(OneArgs { name, door }) => {
            let tenant = match door.open().await? {
                Door::Host(client) => client.create_tenant(name.as_str()).await?,
                Door::Store(store) => rest::tenants::view(&admin::create_tenant(&*store, Acting::Store, name).await?),
            };
            match format {
                OutputFormat::Json => ui::json(&tenant),
                OutputFormat::Text => {
                    ui::say(format!("{} is created", tenant.name))?;
                    ui::say(format!("Next:  fusebox keys create --tenant {} --scope admin", tenant.name))
                }
            }
        }
        Action::List(door) => {
            let tenants = match door.open().await? {
                Door::Host(client) => client.tenants().await?,
                Door::Store(store) => store.tenants().await?.iter().map(rest::tenants::view).collect(),
            };
            match format {
                OutputFormat::Json => ui::json(&tenants),
                OutputFormat::Text => ui::say(table(&tenants)),
            }
        }
        Action::Show(args) => quotas::show(args, format).await,
        Action::Set(args) => quotas::set(args, format).await,
        Action::Delete(args) => deletion::run(args, format).await,
    }
}

fn table(tenants: &[TenantView]) -> String {
    let mut table = Table::new(["NAME", "CREATED"]);
    for tenant in tenants {
        let created_at = tenant.created_at.clone().unwrap_or_else(|| "always there".to_owned());
        let deleting = if tenant.deleting { ", being deleted" } else { "" };
        table.row([tenant.name.clone(), created_at + deleting]);
    }
    table.to_string()
}
