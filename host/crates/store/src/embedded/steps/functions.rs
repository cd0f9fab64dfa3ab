//! Registration and deletion of functions, and the lifetime of versions and modules. A version is kept, and its module
//! counted, until it is deleted and its last task has ended; a module is kept until no version needs it.

use fusebox_core::{
    function::{FunctionVersion, VersionState},
    id::{FilesDigest, FunctionId, ModuleDigest},
    limits::RECORD_BYTES,
    name::{FunctionName, TenantId},
};

use super::Steps;
use crate::{
    Error, FunctionRef, NewFunction, Registered, Result,
    embedded::{
        engine::Space,
        keys::{self, Key},
        records::{self, FunctionRecord},
    },
    packed::Packed,
};

/// Returns the digest under which an archive of files is kept, beside the modules.
const fn archive(files: &FilesDigest) -> ModuleDigest {
    ModuleDigest(files.0)
}

impl Steps<'_> {
    /// Stores a function version and its module. Registering the same id again answers the version created before.
    /// With `hold_ms`, the version is to be compiled, and the caller holds that for this time.
    pub(in crate::embedded) fn register(
        &mut self,
        new: NewFunction,
        module: &Packed,
        hold_ms: Option<u64>,
    ) -> Result<Registered> {
        match self.function_record(new.id)? {
            Some(known) if known.version.tenant == new.tenant => {
                return Ok(Registered::Version(known.version.clone()));
            }
            Some(_) => return Err(Error::Unavailable("the id is in use: register under another one".to_owned())),
            None => {}
        }
        if self.is_gone(&new.tenant)? {
            return Ok(Registered::NoTenant);
        }
        if module.pieces.is_empty() && !self.has_module(&new.module)? {
            return Ok(Registered::NoModule);
        }
        let counters = self.counters(&new.tenant)?;
        if counters.versions >= new.versions_max {
            return Ok(Registered::QuotaReached { max: new.versions_max });
        }
        let module_bytes = if new.setup.runtime.is_some() { 0 } else { self.module_bytes(&new.module, module)? };
        let bytes = RECORD_BYTES.saturating_add(module_bytes).saturating_add(new.setup.stored_bytes());
        if counters.stored_bytes.saturating_add(bytes) > new.stored_max {
            return Ok(Registered::BytesReached { max: new.stored_max });
        }
        let last = keys::last_version(&new.tenant, &new.name);
        let number = match self.number::<u32>("a version number", &last)? {
            0 => self.number::<u32>("a version number", &keys::former_version(&new.tenant))?,
            last => last,
        };
        let version = FunctionVersion {
            id: new.id,
            tenant: new.tenant,
            name: new.name,
            version: number.saturating_add(1),
            module: new.module,
            module_bytes: module.module_bytes,
            abi: new.abi,
            limits: new.limits,
            grants: new.grants,
            setup: new.setup,
            created_at: self.now,
            state: hold_ms.map_or(VersionState::Ready, |_| VersionState::Compiling),
        };
        self.group.put(Space::Records, last, records::encode(&version.version)?);
        self.hold_module(&version.module, module)?;
        if let Some(files) = &version.setup.files {
            self.hold_module(&archive(files), &Packed::plain(&new.files))?;
        }
        self.put_id(keys::version(&version.tenant, &version.name, version.version), version.id);
        self.count(&version.tenant, |counters| counters.versions += 1)?;
        self.recount(&version.tenant, 0, bytes)?;
        self.put_function(&FunctionRecord { version: version.clone(), deleted: false })?;
        self.offer_newest(&version)?;
        if let Some(hold_ms) = hold_ms {
            self.put_compile(version.id, hold_ms, 1)?;
        }
        Ok(Registered::Version(version))
    }

    /// Deletes one version by id, or every version of a name. Returns true if there was one.
    pub(in crate::embedded) fn delete_function(&mut self, tenant: &TenantId, function: &FunctionRef) -> Result<bool> {
        let ids = match function {
            FunctionRef::Id(id) => vec![*id],
            // Oldest first, so that the name is looked up again only for the last.
            FunctionRef::Name(name) => self.version_ids(tenant, name, usize::MAX)?.into_iter().rev().collect(),
        };
        let mut any = false;
        for id in ids {
            let Some(record) = self.function_record(id)? else { continue };
            if record.version.tenant == *tenant && !record.deleted {
                self.delete_version(&record.version)?;
                any = true;
            }
        }
        Ok(any)
    }

    pub(super) fn delete_version(&mut self, deleted: &FunctionVersion) -> Result<()> {
        let FunctionVersion { id, tenant, name, version, .. } = deleted;
        self.group.remove(Space::Records, keys::version(tenant, name, *version));
        self.group.remove(Space::Records, keys::compile(*id));
        let newest = keys::newest(tenant, name);
        if self.group.read(Space::Records, &newest)? == Some(id.as_bytes()) {
            match self.newest_of(tenant, name)? {
                Some(id) => self.put_id(newest, id),
                None => self.forget_name(tenant, name)?,
            }
        }
        self.count(tenant, |counters| counters.versions = counters.versions.saturating_sub(1))?;
        match self.unfinished(*id)? {
            0 => self.drop_function(deleted),
            _ => self.put_function(&FunctionRecord { version: deleted.clone(), deleted: true }),
        }
    }

    /// Lets a name resolve to a version, unless it resolves to a newer one, or to one that is ready in place of one that
    /// is not.
    pub(super) fn offer_newest(&mut self, version: &FunctionVersion) -> Result<()> {
        let rank = |version: &FunctionVersion| (version.state == VersionState::Ready, version.version);
        let key = keys::newest(&version.tenant, &version.name);
        if self.group.contains(Space::Records, &key)? {
            let newest = self.id(&key)?;
            if self.function_record(newest)?.is_some_and(|newest| rank(&newest.version) > rank(version)) {
                return Ok(());
            }
        }
        self.put_id(key, version.id);
        Ok(())
    }

    /// Returns the newest version of a name that is ready, or else the newest.
    fn newest_of(&self, tenant: &TenantId, name: &FunctionName) -> Result<Option<FunctionId>> {
        // Most are ready, so that the first decides.
        for limit in [1, usize::MAX] {
            for id in self.version_ids(tenant, name, limit)? {
                if !self.group.contains(Space::Records, &keys::draft(id))? {
                    return Ok(Some(id));
                }
            }
        }
        Ok(self.version_ids(tenant, name, 1)?.first().copied())
    }

    /// Forgets a name without versions. The next name continues after its numbers, so that none is ever used again.
    fn forget_name(&mut self, tenant: &TenantId, name: &FunctionName) -> Result<()> {
        let (last, former) = (keys::last_version(tenant, name), keys::former_version(tenant));
        let highest = self.number::<u32>("a version number", &last)?.max(self.number("a version number", &former)?);
        self.group.put(Space::Records, former, records::encode(&highest)?);
        self.group.remove(Space::Records, last);
        self.group.remove(Space::Records, keys::newest(tenant, name));
        Ok(())
    }

    /// Counts a new task of a function. Returns false if the function does not exist.
    pub(super) fn hold_function(&mut self, tenant: &TenantId, function: FunctionId) -> Result<bool> {
        match self.function_record(function)? {
            Some(record) if record.version.tenant == *tenant => {}
            _ => return Ok(false),
        }
        self.count_unfinished(function, |tasks| *tasks += 1)?;
        Ok(true)
    }

    /// Counts the end of a task of a function, and removes a deleted function with its last task.
    pub(super) fn release_function(&mut self, tenant: &TenantId, function: FunctionId) -> Result<()> {
        let Some(record) = self.function_record(function)? else { return Ok(()) };
        if record.version.tenant != *tenant {
            return Ok(());
        }
        self.count_unfinished(function, |tasks| *tasks = tasks.saturating_sub(1))?;
        match record.deleted && self.unfinished(function)? == 0 {
            true => self.drop_function(&record.version),
            false => Ok(()),
        }
    }

    /// Returns the number of a function's unfinished tasks.
    fn unfinished(&mut self, function: FunctionId) -> Result<u64> {
        if let Some(tasks) = self.memory.unfinished.get(&function) {
            return Ok(*tasks);
        }
        let tasks = self.number("a count of tasks", &keys::unfinished(function))?;
        self.memory.unfinished.insert(function, tasks);
        Ok(tasks)
    }

    pub(super) fn count_unfinished(&mut self, function: FunctionId, change: impl FnOnce(&mut u64)) -> Result<()> {
        self.unfinished(function)?;
        self.group.wrote();
        self.memory.unfinished.change(&function, change);
        Ok(())
    }

    fn drop_function(&mut self, version: &FunctionVersion) -> Result<()> {
        self.memory.functions.remove(&version.id);
        self.group.remove(Space::Records, keys::function(version.id));
        self.group.remove(Space::Records, keys::draft(version.id));
        self.recount(&version.tenant, self.bytes_of(version)?, 0)?;
        if let Some(files) = &version.setup.files {
            self.release_module(&archive(files))?;
        }
        match version.state {
            VersionState::Failed(_) => Ok(()),
            VersionState::Ready | VersionState::Compiling => self.release_module(&version.module),
        }
    }

    /// Returns the ids of a name's versions, newest first.
    fn version_ids(&self, tenant: &TenantId, name: &FunctionName, limit: usize) -> Result<Vec<FunctionId>> {
        let prefix = keys::versions(tenant, name);
        let found = self.group.keys(Space::Records, &prefix, &keys::past(&prefix), limit)?;
        let ids = found.iter().map(|key| self.id(key));
        ids.collect()
    }

    pub(super) fn id(&self, key: &[u8]) -> Result<FunctionId> {
        let bytes = self.group.get(Space::Records, key)?.unwrap_or_default();
        let bytes = <[u8; 16]>::try_from(&bytes[..]).map_err(|_| Error::Corrupt("a function's id".to_owned()))?;
        Ok(FunctionId::from_bytes(bytes))
    }

    fn put_id(&mut self, key: Key, id: FunctionId) {
        self.group.put(Space::Records, key, id.as_bytes());
    }

    pub(super) fn put_function(&mut self, record: &FunctionRecord) -> Result<()> {
        self.memory.functions.remove(&record.version.id);
        let draft = keys::draft(record.version.id);
        match records::encode_state(&record.version.state)? {
            Some(state) => self.group.put(Space::Records, draft, state),
            None if self.group.contains(Space::Records, &draft)? => self.group.remove(Space::Records, draft),
            None => {}
        }
        self.group.put(Space::Records, keys::function(record.version.id), records::encode_function(record)?);
        Ok(())
    }

    /// Returns a stored number, 0 if absent.
    fn number<T: serde::de::DeserializeOwned + Default>(&self, what: &str, key: &[u8]) -> Result<T> {
        let bytes = self.group.get(Space::Records, key)?;
        bytes.map_or(Ok(T::default()), |bytes| records::decode(what, &bytes))
    }
}
