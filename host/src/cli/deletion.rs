//! `fusebox tenants delete`: says what a tenant has, asks, and deletes it part by part.

use std::io::{self, BufRead, IsTerminal as _};

use clap::Args;
use fusebox_api::tenants::{TenantDeleted, TenantDetails};
use fusebox_client::ClientError;
use fusebox_core::{error::ErrorCode, name::TenantId};
use fusebox_store::Acting;
use fusebox_ui::{self as ui, OutputFormat};

use crate::{
    cli::{
        keys::{Door, DoorArgs},
        report::WrongUsage,
    },
    rest::tenants,
    tenancy::admin::{self, AdminError},
};

/// Tenant to be deleted.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The tenant
    name: TenantId,
    /// Do not ask; required where there is no terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    door: DoorArgs,
}

/// Deletes a tenant.
///
/// # Errors
/// Fails if the answer is no or there is nobody to ask, if there is no such tenant, or the host or store does not answer.
pub async fn run(args: DeleteArgs, format: OutputFormat) -> anyhow::Result<()> {
    let DeleteArgs { name, yes, door } = args;
    if !yes && !io::stdin().is_terminal() {
        return Err(WrongUsage("a deletion is final, and there is no terminal to ask at: add --yes").into());
    }
    let door = door.open().await?;
    if !yes {
        ui::note(question(&details(&door, &name).await?));
        anyhow::ensure!(is_confirmed(&mut io::stdin().lock(), &name)?, "nothing was deleted");
    }
    let mut gone = delete_part(&door, &name).await?;
    while !gone.done {
        match delete_part(&door, &name).await {
            Ok(part) => add(&mut gone, &part),
            // A tick has deleted the rest.
            Err(error) if is_absence(&error) => gone.done = true,
            Err(error) => return Err(error),
        }
    }
    match format {
        OutputFormat::Json => ui::json(&gone),
        OutputFormat::Text => ui::say(said(&gone)),
    }
}

async fn details(door: &Door, name: &TenantId) -> anyhow::Result<TenantDetails> {
    Ok(match door {
        Door::Host(client) => client.tenant(name.as_str()).await?,
        Door::Store(store) => tenants::details(&admin::details(&**store, name).await?),
    })
}

async fn delete_part(door: &Door, name: &TenantId) -> anyhow::Result<TenantDeleted> {
    Ok(match door {
        Door::Host(client) => client.delete_tenant(name.as_str()).await?,
        Door::Store(store) => tenants::gone(name, &admin::delete_tenant(&**store, Acting::Store, name).await?),
    })
}

fn is_absence(error: &anyhow::Error) -> bool {
    let at_store = matches!(error.downcast_ref(), Some(AdminError::NoTenant(_)));
    let at_host = match error.downcast_ref() {
        Some(ClientError::Problem(problem)) => problem.code == ErrorCode::TenantNotFound.as_str(),
        _ => false,
    };
    at_store || at_host
}

fn add(gone: &mut TenantDeleted, part: &TenantDeleted) {
    gone.tasks += part.tasks;
    gone.functions += part.functions;
    gone.values += part.values;
    gone.settings += part.settings;
    gone.keys += part.keys;
    gone.done = part.done;
}

fn question(TenantDetails { name, functions, keys, queued_tasks, running_tasks, .. }: &TenantDetails) -> String {
    let [functions, keys] = [functions, keys].map(|count| ui::count(*count));
    let [queued, running] = [queued_tasks, running_tasks].map(|count| ui::count(*count));
    format!(
        "{name} has {functions} functions, {keys} keys, {queued} queued and {running} running tasks. All of it is deleted for \
         good, with its results, dead letters, values, configuration and secrets, and its name cannot be used again.\nType \
         {name} to go on:"
    )
}

/// Returns true if the next line is the tenant's name.
fn is_confirmed(input: &mut impl BufRead, name: &TenantId) -> io::Result<bool> {
    let mut line = String::new();
    input.read_line(&mut line)?;
    Ok(line.trim() == name.as_str())
}

fn said(TenantDeleted { name, tasks, functions, values, settings, keys, .. }: &TenantDeleted) -> String {
    let [tasks, functions, values, settings, keys] =
        [tasks, functions, values, settings, keys].map(|count| ui::count(*count));
    format!(
        "{name} is deleted: {tasks} tasks, {functions} function versions, {values} values, {settings} settings, {keys} \
         keys; its name cannot be used again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_confirms() {
        let name: TenantId = "acme".parse().unwrap();
        let confirmed = |input: &str| is_confirmed(&mut input.as_bytes(), &name).unwrap();
        assert!(confirmed("acme\n") && confirmed("acme"));
        for other in ["", "\n", "y\n", "yes\n", "ACME\n", "acme2\n", "other\nacme\n"] {
            assert!(!confirmed(other), "{other:?}");
        }
    }
}
