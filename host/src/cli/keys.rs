//! `fusebox keys`: creates, lists, revokes and rotates API keys, through a host or at its store.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use fusebox_api::keys::{CreateKey, GRACE_MS_DEFAULT, KeyView, NewKeyView, RotateKey};
use fusebox_client::Client;
use fusebox_core::name::TenantId;
use fusebox_ui::{self as ui, table::Table};

use crate::{
    cli::args::HostArgs,
    node::{
        parts::StoreAddress,
        store::{self as at_store, RedisArgs},
    },
    rest::keys,
    tenancy::admin::{self, NewKey},
};
use fusebox_store::{Acting, Scope, Store};
use fusebox_system::clock::Clock;
use fusebox_ui::OutputFormat;

/// Action on keys.
#[derive(Debug, Args)]
#[command(after_help = "\
Once there is a first key, every request to the host needs one, at once and for ever. A key belongs to one tenant and gives
access to that tenant only. Scopes: `invoke` runs functions, `deploy` also registers them, `admin` also manages its keys.
An admin key of the tenant `default` is the operator's: it manages every tenant and key, and sees workers and metrics.

Create the first key at the store, beside a host on Redis or before `fusebox up` starts on a directory:
  fusebox keys create --store fusebox-data --scope admin --name operator
  fusebox keys create --store redis://127.0.0.1:6379 --scope admin --name operator

Create the others through the host, with a key in FUSEBOX_API_KEY:
  fusebox keys create --scope deploy --tenant acme --name ci --life 90d
  fusebox keys list --tenant acme
  fusebox keys rotate ID --grace 24h              a new key; the old one is valid for another day
  fusebox keys revoke ID                          refused within a second, everywhere")]
pub struct KeysArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create a key; it is printed once and stored nowhere
    Create(CreateArgs),
    /// List a tenant's keys, including ended ones
    List(ListArgs),
    /// Revoke a key
    Revoke(RevokeArgs),
    /// Create a key that replaces another one
    Rotate(RotateArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// Requests that the key allows: invoke, deploy or admin
    #[arg(long)]
    scope: Scope,
    /// Name for people
    #[arg(long, default_value = "", value_name = "TEXT")]
    name: String,
    /// Tenant of the key [default: the caller's tenant; at a store, `default`]
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,
    /// Lifetime, such as 90d [default: for ever]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    life: Option<Duration>,
    #[command(flatten)]
    door: DoorArgs,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Tenant whose keys are listed [default: the caller's tenant; at a store, `default`]
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,
    #[command(flatten)]
    door: DoorArgs,
}

#[derive(Debug, Args)]
struct RevokeArgs {
    /// The key's id
    id: String,
    #[command(flatten)]
    door: DoorArgs,
}

#[derive(Debug, Args)]
struct RotateArgs {
    /// The old key's id
    id: String,
    /// Time for which the old key stays valid [default: 24h]
    #[arg(long, value_parser = humantime::parse_duration, value_name = "TIME")]
    grace: Option<Duration>,
    #[command(flatten)]
    door: DoorArgs,
}

/// Access to tenants and keys: through a host or at a store.
#[derive(Clone, Debug, Args)]
pub struct DoorArgs {
    #[command(flatten)]
    host: HostArgs,
    /// Open the store itself instead of calling a host: a directory that no host has open, or redis://…
    #[arg(long, hide_env_values = true, value_name = "DIR|URL")]
    store: Option<StoreAddress>,
    #[command(flatten)]
    redis: RedisArgs,
}

/// The chosen access.
pub enum Door {
    /// Through a host's API.
    Host(Client),
    /// At the store, which requires no key.
    Store(Arc<dyn Store>),
}

impl DoorArgs {
    /// Opens the host or the store.
    ///
    /// # Errors
    /// Fails if the store cannot be opened, or the host's address is invalid.
    pub async fn open(&self) -> anyhow::Result<Door> {
        let Some(address) = &self.store else { return Ok(Door::Host(self.host.client()?)) };
        let opened = at_store::open(address, &self.redis, &Clock::System).await.map_err(|error| {
            match error.downcast_ref::<fusebox_store::Error>() {
                Some(fusebox_store::Error::InUse { path }) => anyhow::anyhow!(
                    "a host has {path} open: leave --store out to use that host (--url, --api-key), or stop it first"
                ),
                _ => error,
            }
        });
        Ok(Door::Store(opened?))
    }
}

/// Creates, lists, revokes or rotates keys.
///
/// # Errors
/// Fails if the action is refused, or the host or store does not answer.
pub async fn run(args: KeysArgs, format: OutputFormat) -> anyhow::Result<()> {
    match args.action {
        Action::Create(args) => create(args, format).await,
        Action::List(ListArgs { tenant, door }) => {
            let keys = match door.open().await? {
                Door::Host(client) => client.keys(tenant.as_ref().map(TenantId::as_str)).await?,
                Door::Store(store) => {
                    let keys = admin::keys(&*store, &tenant.unwrap_or_else(TenantId::default_tenant)).await?;
                    let now = store.now().await?;
                    keys.iter().map(|key| keys::view(key, now)).collect()
                }
            };
            match format {
                OutputFormat::Json => ui::json(&keys),
                OutputFormat::Text if keys.is_empty() => ui::say("There are no keys yet:  fusebox keys create --help"),
                OutputFormat::Text => ui::say(table(&keys)),
            }
        }
        Action::Revoke(RevokeArgs { id, door }) => {
            let key = match door.open().await? {
                Door::Host(client) => client.revoke_key(&id).await?,
                Door::Store(store) => {
                    let key = admin::find_key(&*store, None, &id).await?;
                    let key = admin::revoke_key(&*store, Acting::Store, &key).await?;
                    keys::view(&key, key.created_at)
                }
            };
            match format {
                OutputFormat::Json => ui::json(&key),
                OutputFormat::Text => ui::say(format!("{} of {} is revoked", key.id, key.tenant)),
            }
        }
        Action::Rotate(RotateArgs { id, grace, door }) => {
            let grace_ms = grace.map(millis).transpose()?.unwrap_or(GRACE_MS_DEFAULT);
            let key = match door.open().await? {
                Door::Host(client) => client.rotate_key(&id, RotateKey { grace_ms: Some(grace_ms) }).await?,
                Door::Store(store) => {
                    let old = admin::find_key(&*store, None, &id).await?;
                    let (key, secret) = admin::rotate_key(&*store, Acting::Store, old, grace_ms).await?;
                    keys::new_view(&key, &secret)
                }
            };
            tell(&key, format)
        }
    }
}

async fn create(args: CreateArgs, format: OutputFormat) -> anyhow::Result<()> {
    let CreateArgs { scope, name, tenant, life, door } = args;
    let life_ms = life.map(millis).transpose()?;
    let key = match door.open().await? {
        Door::Host(client) => client.create_key(&CreateKey { scope, name, tenant, life_ms }).await?,
        Door::Store(store) => {
            let tenant = tenant.unwrap_or_else(TenantId::default_tenant);
            let new = NewKey { tenant, scope, name, life_ms };
            let (key, secret) = admin::create_key(&*store, Acting::Store, new).await?;
            keys::new_view(&key, &secret)
        }
    };
    tell(&key, format)
}

fn millis(time: Duration) -> anyhow::Result<u64> {
    u64::try_from(time.as_millis()).context("the time exceeds the maximum")
}

/// Prints the key alone to stdout, so that a script can capture it.
fn tell(key: &NewKeyView, format: OutputFormat) -> anyhow::Result<()> {
    if format == OutputFormat::Json {
        return ui::json(key);
    }
    ui::say(&key.key)?;
    let until = key.view.expires_at.as_ref().map(|at| format!(", valid until {at}")).unwrap_or_default();
    ui::note(format!("This is key {} of {}, scope {}{until}.", key.view.id, key.view.tenant, key.view.scope));
    ui::note("It is shown once and stored nowhere. Commands read it from FUSEBOX_API_KEY.");
    Ok(())
}

fn table(keys: &[KeyView]) -> String {
    let mut table = Table::new(["ID", "TENANT", "SCOPE", "STATUS", "NAME", "CREATED", "EXPIRES"]);
    for key in keys {
        table.row([
            key.id.clone(),
            key.tenant.clone(),
            key.scope.to_string(),
            key.status.clone(),
            key.name.clone(),
            key.created_at.clone(),
            key.expires_at.clone().unwrap_or_else(|| "never".to_owned()),
        ]);
    }
    table.to_string()
}
