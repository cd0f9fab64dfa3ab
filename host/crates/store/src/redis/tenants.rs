//! Deletion of tenants, in parts of bounded size: first in every place with tasks and values, then in the shared one.

use fusebox_core::name::TenantId;
use futures_util::future;

use super::{answers, caller::Caller};
use crate::{Cleared, Result, identity::tombstone};

/// Largest number of tasks or versions deleted in one call, to bound the time for which it occupies Redis.
const PART_MAX: usize = 200;

/// Deletes a part of a tenant that is being deleted.
pub(super) async fn clear_tenant(caller: &Caller, tenant: &TenantId) -> Result<Cleared> {
    let (more, cleared) = clear(caller, tenant, PART_MAX).await?;
    if more {
        return Ok(cleared);
    }
    let call = caller.call(caller.layout().shared(), "bury").arg(tenant.as_str()).arg(PART_MAX);
    let [more, functions, keys] = answers::tuple(caller.ask(call.arg(&tombstone(tenant)[..])).await?)?;
    let (functions, keys) = (answers::number(functions)?, answers::number(keys)?);
    Ok(Cleared { functions, keys, is_done: answers::number(more)? == 0, ..cleared })
}

/// Deletes a part of some tenant that is being deleted.
pub(super) async fn clear_some(caller: &Caller) -> Result<()> {
    let call = caller.call(caller.layout().shared(), "deleting");
    match answers::text(caller.ask(call).await?)?.parse() {
        Ok(tenant) => clear_tenant(caller, &tenant).await.map(drop),
        // There is none.
        Err(_) => Ok(()),
    }
}

/// Closes every place to a tenant and deletes up to `most` of its tasks there. Returns true if there may be more.
pub(super) async fn clear(caller: &Caller, tenant: &TenantId, most: usize) -> Result<(bool, Cleared)> {
    let call = |place| caller.ask(caller.call(place, "clear").arg(tenant.as_str()).arg(most));
    let (mut any, mut all) = (false, Cleared::default());
    for answer in future::try_join_all(caller.layout().places().map(call)).await? {
        let [more, tasks, values, settings] = answers::tuple(answer)?;
        any |= answers::number(more)? > 0;
        all.tasks += answers::number(tasks)?;
        all.values += answers::number(values)?;
        all.settings += answers::number(settings)?;
    }
    Ok((any, all))
}
