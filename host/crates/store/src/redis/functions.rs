//! Registration, lookup, listing and deletion of functions; and modules. All functions are in one place, and so is the
//! one copy of each module.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    function::FunctionVersion,
    id::{FunctionId, ModuleDigest},
    limits::{PAGE_ROWS_MAX, RECORD_BYTES},
    name::{FunctionName, TenantId},
};
use redis::Value;

use super::{RedisStore, answers, caller::Caller, modules, records, version_cache::Given, versions};
use crate::{
    Error, FunctionRef, Functions, NewFunction, Page, PageRequest, Registered, Result, identity, packed::Packed,
};

/// Time for which a deleted version is kept even if no task needs it, in milliseconds: longer than a request can take
/// from its look-up of a version to the acceptance of its task, which may be in another place.
const DELETED_MS_MIN: u64 = 60_000;
/// Largest number of deleted versions examined in one step.
const COLLECTED_MAX: usize = 100;
/// Largest number of versions read or deleted in one call, to bound the time it occupies Redis.
const VERSIONS_MAX: usize = 500;

impl RedisStore {
    async fn add(&self, new: NewFunction, module: Bytes, hold_ms: Option<u64>) -> Result<Registered> {
        self.add_packed(new, Packed::of(module).await?, hold_ms).await
    }

    async fn add_packed(&self, new: NewFunction, packed: Packed, hold_ms: Option<u64>) -> Result<Registered> {
        let caller = &self.caller;
        let module_bytes = if new.setup.runtime.is_some() { 0 } else { packed.stored_bytes() };
        let more = RECORD_BYTES + module_bytes + new.setup.stored_bytes();
        let stored_max = self.counted.stored_max(caller, &new.tenant, more, new.stored_max).await?;
        let piece = match &packed.pieces[..] {
            [piece] => piece.clone(),
            pieces => {
                if !pieces.is_empty() {
                    modules::stage(caller, &new, &packed).await?;
                }
                Bytes::new()
            }
        };
        self.put(&new, &piece, &packed, stored_max, hold_ms).await
    }

    /// Registers a version. Its module's only piece comes with it; several are staged.
    async fn put(
        &self,
        new: &NewFunction,
        piece: &Bytes,
        packed: &Packed,
        stored_max: u64,
        hold_ms: Option<u64>,
    ) -> Result<Registered> {
        let caller = &self.caller;
        let call = caller
            .call(caller.layout().shared(), "register")
            .arg(new.id.to_string())
            .arg(new.tenant.as_str())
            .arg(new.name.as_str())
            .arg(new.module.to_string())
            .arg(new.abi.as_str())
            .arg(versions::limits(&new.limits))
            .arg(new.versions_max)
            .arg(&piece[..])
            .arg(new.grants.to_list())
            .arg(stored_max)
            .arg(&identity::tombstone(&new.tenant)[..])
            .arg(versions::setup(&new.setup))
            .arg(new.setup.stored_bytes())
            .arg(new.setup.files.map(|files| files.to_string()).unwrap_or_default())
            .arg(&new.files[..])
            .arg(packed.module_bytes)
            .arg(packed.pieces.len())
            .arg(packed.stored_bytes())
            .arg(if packed.is_deflated { modules::DEFLATE } else { "" })
            .arg(hold_ms.map(|ms| ms.to_string()).unwrap_or_default())
            .arg(u8::from(new.setup.runtime.is_some()));
        let mut answer = answers::list(caller.ask(call).await?)?.into_iter();
        match (answers::text(answer.next().unwrap_or_default())?.as_str(), answer.next()) {
            ("VERSION", Some(version)) => Ok(Registered::Version(read(version)?)),
            ("FULL", _) => Ok(Registered::QuotaReached { max: new.versions_max }),
            ("LARGE", _) => Ok(Registered::BytesReached { max: new.stored_max }),
            ("NO_TENANT", _) => Ok(Registered::NoTenant),
            ("NO_MODULE", _) => Ok(Registered::NoModule),
            ("TAKEN", _) => Err(Error::Unavailable("the id is in use: register under another one".to_owned())),
            ("STAGED", _) => Err(Error::Unavailable("the pieces of the module are gone: register it again".to_owned())),
            _ => Err(answers::unexpected("register")),
        }
    }
}

#[async_trait]
impl Functions for RedisStore {
    async fn register(&self, new: NewFunction, module: Bytes) -> Result<Registered> {
        self.add(new, module, None).await
    }

    async fn register_known(&self, new: NewFunction, module_bytes: u64) -> Result<Registered> {
        self.add_packed(new, Packed::known(module_bytes), None).await
    }

    async fn register_compiling(&self, new: NewFunction, module: Bytes, hold_ms: u64) -> Result<Registered> {
        self.add(new, module, Some(hold_ms)).await
    }

    async fn function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<Option<FunctionVersion>> {
        let (caller, (id, name)) = (&self.caller, either(function));
        let call = caller.call(caller.layout().shared(), "find").arg(tenant.as_str()).arg(id).arg(name);
        let found = match caller.ask(call).await? {
            Value::Nil => None,
            version => Some(read(version)?),
        };
        self.cache.read(tenant, function, found.as_ref());
        Ok(found)
    }

    fn remembered(&self, tenant: &TenantId, function: &FunctionRef) -> Option<FunctionVersion> {
        // On a Cluster a task and its function are in different places, so no step can check both.
        self.batcher.as_ref().and_then(|_| self.cache.get(tenant, function))
    }

    async fn functions(&self, tenant: &TenantId, page: &PageRequest) -> Result<Page<FunctionVersion>> {
        let caller = &self.caller;
        let after = match page.cursor.as_deref() {
            None => Vec::new(),
            Some(cursor) => match hex::decode(cursor) {
                Ok(name) => name,
                Err(_) => return Ok(Page { items: Vec::new(), next: None }),
            },
        };
        let rows = page.rows.clamp(1, PAGE_ROWS_MAX) as usize;
        let call = caller.call(caller.layout().shared(), "names").arg(tenant.as_str()).arg(&after[..]).arg(rows + 1);
        let mut items = versions_of(caller.ask(call).await?)?;
        let more = items.len() > rows;
        items.truncate(rows);
        let next = items.last().filter(|_| more).map(|last| hex::encode(last.name.as_str()));
        Ok(Page { items, next })
    }

    async fn versions(
        &self,
        tenant: &TenantId,
        name: &FunctionName,
        page: &PageRequest,
    ) -> Result<Page<FunctionVersion>> {
        let caller = &self.caller;
        // The cursor of a page is the number of its last version.
        let before = match page.cursor.as_deref().map(str::parse::<u32>) {
            None => "+inf".to_owned(),
            Some(Ok(version)) => format!("({version}"),
            Some(Err(_)) => return Ok(Page { items: Vec::new(), next: None }),
        };
        let rows = page.rows.clamp(1, PAGE_ROWS_MAX) as usize;
        let call = caller.call(caller.layout().shared(), "versions").arg(tenant.as_str()).arg(name.as_str());
        let mut items = versions_of(caller.ask(call.arg(before).arg(rows + 1)).await?)?;
        let more = items.len() > rows;
        items.truncate(rows);
        let next = items.last().filter(|_| more).map(|last| last.version.to_string());
        Ok(Page { items, next })
    }

    async fn delete_function(&self, tenant: &TenantId, function: &FunctionRef) -> Result<bool> {
        let caller = &self.caller;
        let mut any = false;
        loop {
            let (id, name) = either(function);
            let call = caller.call(caller.layout().shared(), "delete").arg(tenant.as_str()).arg(id).arg(name);
            let [deleted, more] = answers::tuple(caller.ask(call.arg(VERSIONS_MAX).once()).await?)?;
            any |= answers::number(deleted)? > 0;
            if answers::number(more)? == 0 {
                return Ok(any);
            }
        }
    }

    async fn module(&self, digest: &ModuleDigest) -> Result<Option<Bytes>> {
        modules::read(&self.caller, digest).await
    }
}

/// Removes deleted versions that no task needs, and modules that no version uses.
pub(super) async fn collect(caller: &Caller) -> Result<()> {
    let shared = caller.layout().shared();
    let call = caller.call(shared, "deleted").arg(DELETED_MS_MIN).arg(COLLECTED_MAX);
    let mut versions = Vec::new();
    for version in answers::list(caller.ask(call).await?)? {
        let [id, tenant] = answers::tuple(version)?;
        let id: FunctionId = answers::text(id)?.parse().map_err(|_| answers::unexpected("a function's id"))?;
        versions.push((id, answers::text(tenant)?));
    }
    if versions.is_empty() {
        return Ok(());
    }
    let words: Vec<_> = versions.iter().flat_map(|(id, tenant)| [tenant.clone(), records::version(*id)]).collect();
    let asked = caller.layout().places().map(|place| caller.ask(caller.call(place, "needed").args(&words)));
    let mut needed = vec![false; versions.len()];
    for answer in futures_util::future::try_join_all(asked).await? {
        for (needed, here) in needed.iter_mut().zip(answers::list(answer)?) {
            *needed |= answers::number(here)? > 0;
        }
    }
    let call = caller.call(shared, "collect").arg(DELETED_MS_MIN);
    let call = versions
        .iter()
        .zip(needed)
        .fold(call, |call, ((id, _), needed)| call.arg(id.to_string()).arg(u8::from(needed)));
    caller.ask(call).await.map(drop)
}

/// Returns the grants and the setup of a version, deleted or not.
pub(super) async fn given(caller: &Caller, function: FunctionId) -> Result<Given> {
    let mut command = redis::cmd("HMGET");
    let shared = caller.layout().shared();
    command.arg(shared.function(function)).arg(&["grants", "setup"]);
    let [grants, setup] = answers::tuple(caller.send(shared, &command).await?)?;
    let (grants, setup) = (answers::optional_text(grants)?, answers::optional_text(setup)?);
    let grants = versions::grants(grants.as_deref()).ok_or_else(|| answers::unexpected("a version's grants"))?;
    let setup = versions::read_setup(setup.as_deref()).ok_or_else(|| answers::unexpected("a version's setup"))?;
    Ok(Arc::new((grants, setup)))
}

fn either(function: &FunctionRef) -> (String, &str) {
    match function {
        FunctionRef::Id(id) => (id.to_string(), ""),
        FunctionRef::Name(name) => (String::new(), name.as_str()),
    }
}

fn versions_of(answer: Value) -> Result<Vec<FunctionVersion>> {
    answers::list(answer)?.into_iter().map(read).collect()
}

/// Decodes a version as the library answers it.
pub(super) fn read(version: Value) -> Result<FunctionVersion> {
    let [id, record] = answers::tuple(version)?;
    let mut fields = answers::list(record)?;
    // The first field is the time of deletion.
    fields.drain(..fields.len().min(1));
    versions::function(&answers::text(id)?, fields)
}
