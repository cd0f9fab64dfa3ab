//! Deletion of tenants: a mark, and then parts of bounded size, until only the digest of the name is left.

use bytes::Bytes;
use fusebox_core::{id::TaskId, name::TenantId};

use super::Steps;
use crate::{
    Acted, Acting, Cleared, Denied, Result,
    embedded::{
        engine::Space,
        keys::{self, Key, Place},
        records::Counters,
    },
    hints::Event,
};

/// Largest number of entries of one part, a task or a version being one, to bound the time for which it occupies the
/// writer.
const PART_MAX: usize = 500;

impl Steps<'_> {
    /// Begins to delete a tenant.
    pub(in crate::embedded) fn delete_tenant(&mut self, by: Acting, id: &TenantId) -> Result<Acted<bool>> {
        if !self.reaches(by, &TenantId::default_tenant())? {
            return Ok(Err(Denied));
        }
        let Some(mut tenant) = self.tenant(id)?.filter(|_| *id != TenantId::default_tenant()) else {
            return Ok(Ok(false));
        };
        if tenant.deleted_at.is_some() {
            return Ok(Ok(true));
        }
        tenant.deleted_at = Some(self.now);
        self.put_tenant(&tenant)?;
        self.group.put(Space::Records, keys::closed_tenant(id), Bytes::new());
        self.count(id, |counters| counters.is_closed = true)?;
        for mut key in self.keys_of(id)? {
            key.revoked_at.get_or_insert(self.now);
            self.put_key(&key)?;
        }
        Ok(Ok(true))
    }

    /// Returns true if a tenant is being deleted or was deleted.
    pub(super) fn is_gone(&mut self, tenant: &TenantId) -> Result<bool> {
        Ok(self.counters(tenant)?.is_closed || self.group.contains(Space::Records, &keys::tombstone(tenant))?)
    }

    /// Deletes a part of the first tenant that is being deleted.
    pub(in crate::embedded) fn clear_some(&mut self) -> Result<()> {
        let closed = keys::closed_tenants();
        let first = self.group.keys(Space::Records, &closed, &keys::past(&closed), 1)?;
        match first.first().and_then(|key| keys::named_tenant(key)) {
            Some(tenant) => self.clear_tenant(&tenant).map(drop),
            None => Ok(()),
        }
    }

    /// Deletes a part of a tenant that is being deleted.
    pub(in crate::embedded) fn clear_tenant(&mut self, tenant: &TenantId) -> Result<Cleared> {
        let (mut cleared, mut left) = (Cleared::default(), PART_MAX);
        if self.group.contains(Space::Records, &keys::closed_tenant(tenant))? {
            self.clear_tasks(tenant, &mut left, &mut cleared)?;
            self.clear_functions(tenant, &mut left, &mut cleared)?;
            self.clear_entries(tenant, &mut left, &mut cleared)?;
            if left == 0 {
                return Ok(cleared);
            }
            self.bury(tenant)?;
        }
        Ok(Cleared { is_done: true, ..cleared })
    }

    fn clear_tasks(&mut self, tenant: &TenantId, left: &mut usize, cleared: &mut Cleared) -> Result<()> {
        for prefix in [keys::unfinished_of(tenant), keys::tasks_of(tenant, Place::Ended)] {
            for entry in self.taken(Space::Records, &prefix, left)? {
                let Some(id) = keys::last_task(&entry) else { continue };
                if self.indexed(&entry)?.is_some() {
                    self.cancel(tenant, id)?;
                    self.purge(&[(tenant.clone(), id)])?;
                } else {
                    self.remove_damaged(id, &entry);
                }
                cleared.tasks += 1;
            }
        }
        Ok(())
    }

    /// Removes what there is of a task whose record cannot be read.
    fn remove_damaged(&mut self, id: TaskId, record: &[u8]) {
        self.forget_lease(id);
        self.group.remove(Space::Records, keys::origin(id));
        self.group.remove(Space::Records, record);
        for key in [keys::input(id), keys::output(id), keys::log(id)] {
            self.group.remove(Space::Blobs, key);
        }
    }

    /// Deletes versions that no task needs any more.
    fn clear_functions(&mut self, tenant: &TenantId, left: &mut usize, cleared: &mut Cleared) -> Result<()> {
        for entry in self.taken(Space::Records, &keys::versions_of_all(tenant), left)? {
            let id = self.id(&entry)?;
            if let Some(record) = self.function_record(id)? {
                self.count_unfinished(id, |tasks| *tasks = 0)?;
                self.delete_version(&record.version)?;
                cleared.functions += 1;
            }
            self.group.remove(Space::Records, entry);
        }
        Ok(())
    }

    fn clear_entries(&mut self, tenant: &TenantId, left: &mut usize, cleared: &mut Cleared) -> Result<()> {
        for entry in self.taken(Space::Records, &keys::api_keys_of(tenant), left)? {
            if let Some(key) = keys::last_api_key(&entry) {
                self.group.remove(Space::Records, keys::api_key(key));
                cleared.keys += 1;
            }
            self.group.remove(Space::Records, entry);
        }
        cleared.settings += self.remove_all(Space::Records, &keys::settings_of_all(tenant), left)?;
        cleared.values += self.remove_all(Space::Blobs, &keys::values_of_all(tenant), left)?;
        self.remove_all(Space::Index, &keys::values_of_all(tenant), left)?;
        self.remove_all(Space::Index, &keys::tags_of_all(tenant), left)?;
        self.remove_all(Space::Records, &keys::jobs_of(tenant), left)?;
        self.remove_all(Space::Records, &keys::namespaces_of_all(tenant), left)?;
        Ok(())
    }

    /// Removes what a tenant has once, and its record, and keeps its name from being given again.
    fn bury(&mut self, tenant: &TenantId) -> Result<()> {
        for key in [keys::former_version(tenant), keys::tenant(tenant), keys::closed_tenant(tenant)] {
            self.group.remove(Space::Records, key);
        }
        self.count(tenant, |counters| *counters = Counters::default())?;
        self.group.put(Space::Records, keys::tombstone(tenant), Bytes::new());
        self.events.push(Event::Identity);
        Ok(())
    }

    fn remove_all(&mut self, space: Space, prefix: &[u8], left: &mut usize) -> Result<u64> {
        let taken = self.taken(space, prefix, left)?;
        let removed = taken.len() as u64;
        taken.into_iter().for_each(|key| self.group.remove(space, key));
        Ok(removed)
    }

    /// Returns the first keys with a prefix, at most as many as are left of a part, and takes their number from it.
    fn taken(&self, space: Space, prefix: &[u8], left: &mut usize) -> Result<Vec<Key>> {
        let taken = self.group.keys(space, prefix, &keys::past(prefix), *left)?;
        *left -= taken.len();
        Ok(taken)
    }
}
