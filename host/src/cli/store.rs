//! `fusebox store`: acts on a store as a whole.

use clap::{Args, Subcommand};
use fusebox_store::{embedded::EmbeddedStore, redis::RedisStore};
use fusebox_ui::{self as ui, OutputFormat};

use crate::node::{parts::StoreAddress, store::RedisArgs};

/// Arguments of `fusebox store`.
#[derive(Debug, Args)]
#[command(after_help = "\
A version of Fusebox shares a store with the version before it, so that processes can be replaced one by one. Afterwards
`migrate` rewrites the records that have only the old layout, and the old version is refused from then on. It may be
interrupted at any time and run again. In Redis, processes of the new version use the store meanwhile; a directory must
not be open.

Examples:
  fusebox store migrate --store fusebox-data
  fusebox store migrate --store redis://127.0.0.1:6379")]
pub struct StoreArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Rewrite records of the layout before this version's
    Migrate(MigrateArgs),
}

#[derive(Debug, Args)]
struct MigrateArgs {
    /// Store of functions and tasks: a directory, or the address of a Redis
    #[arg(long, env = "FUSEBOX_STORE", hide_env_values = true, default_value = "fusebox-data", value_name = "DIR|URL")]
    store: StoreAddress,
    #[command(flatten)]
    redis: RedisArgs,
}

/// Migrates a store.
///
/// # Errors
/// Fails if the store cannot be opened or migrated by this version.
pub async fn run(args: StoreArgs, format: OutputFormat) -> anyhow::Result<()> {
    let Action::Migrate(MigrateArgs { store, redis }) = args.action;
    let migrated = match &store {
        StoreAddress::Directory(dir) => EmbeddedStore::migrate(dir).await?,
        StoreAddress::Redis(url) => RedisStore::migrate(url, redis.read()?).await?,
    };
    match format {
        OutputFormat::Json => ui::json(&migrated),
        OutputFormat::Text => ui::say(format!("{store}: {migrated}")),
    }
}
