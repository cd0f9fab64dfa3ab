//! Changes of values and settings. The record of a value is complete in itself; the namespace's record counts the
//! values and allots revisions.

use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, Refusal, Revision, SettingName},
    limits::{SETTINGS_MAX, VALUE_BYTES},
    time::Millis,
};

use super::Steps;
use crate::{
    Result,
    embedded::{
        engine::Space,
        keys,
        records::{self, NamespaceRecord, ValueRecord},
    },
    kv::{Granted, Namespace, NewValue, SettingAnswer, SettingKind},
};

/// Largest number of expired values that one set removes, to bound its work.
const REMOVED_MAX: usize = 64;

/// Returns the bytes that count for a value or a setting.
const fn counted(name: usize, value: usize) -> u64 {
    VALUE_BYTES + name as u64 + value as u64
}

impl Steps<'_> {
    /// Sets a value.
    pub(in crate::embedded) fn set_value(&mut self, of: &Namespace, new: &NewValue) -> Result<Granted<Revision>> {
        if self.is_gone(&of.tenant)? {
            return Ok(Err(Refusal::Refused));
        }
        self.remove_expired(of)?;
        let NewValue { key, value, ttl, expects, stored_max } = new;
        let (key, value) = (key.as_bytes(), value.as_bytes());
        let before = self.value_record(of, key)?;
        let live = before.as_ref().filter(|before| before.is_live(self.now)).map(|before| before.revision);
        if !expects.is_met(live) {
            return Ok(Err(Refusal::Conflict));
        }
        let mut namespace = self.namespace(of)?;
        let place = keys::value(of, key);
        if let Some(before) = &before {
            namespace.remove(key, before);
        }
        namespace.entries += 1;
        namespace.bytes += (key.len() + value.len()) as u64;
        if namespace.entries > self.options.kv_entries_max || namespace.bytes > self.options.kv_bytes_max {
            return Ok(Err(Refusal::Quota));
        }
        let stored = before.as_ref().map_or(0, |before| counted(key.len(), before.value.len()));
        let bytes = counted(key.len(), value.len());
        if !self.may_store(&of.tenant, stored, bytes, *stored_max)? {
            return Ok(Err(Refusal::Quota));
        }
        self.recount(&of.tenant, stored, bytes)?;
        namespace.revision += 1;
        let (revision, expires_at) = (namespace.revision, ttl.map(|ttl| self.now.plus(ttl.ms())));
        self.drop_expiry(of, key, before.as_ref());
        if let Some(at) = expires_at {
            self.group.put(Space::Index, keys::expiry(of, at, key), Bytes::new());
        }
        let record = ValueRecord { revision, expires_at, value: Bytes::copy_from_slice(value) };
        self.group.put(Space::Blobs, place, records::encode(&record)?);
        self.put_namespace(of, &namespace)?;
        Ok(Ok(revision))
    }

    /// Removes a value.
    pub(in crate::embedded) fn delete_value(
        &mut self,
        of: &Namespace,
        key: &[u8],
        expects: Expects,
    ) -> Result<Granted<bool>> {
        let before = self.value_record(of, key)?;
        let live = before.as_ref().filter(|before| before.is_live(self.now)).map(|before| before.revision);
        if live.is_none() && !matches!(expects, Expects::Revision(_)) {
            return Ok(Ok(false));
        }
        if !expects.is_met(live) {
            return Ok(Err(Refusal::Conflict));
        }
        if let Some(before) = before {
            self.remove_value(of, key, &before)?;
        }
        Ok(Ok(true))
    }

    /// Sets a setting.
    pub(in crate::embedded) fn set_setting(
        &mut self,
        of: &Namespace,
        kind: SettingKind,
        name: &SettingName,
        value: Bytes,
        stored_max: u64,
    ) -> Result<SettingAnswer> {
        if self.is_gone(&of.tenant)? {
            return Ok(SettingAnswer::NoTenant);
        }
        let key = keys::setting(of, kind, name.as_str());
        let before = self.group.get(Space::Records, &key)?;
        if before.is_none() {
            let all = keys::settings(of, kind);
            let known = self.group.keys(Space::Records, &all, &keys::past(&all), SETTINGS_MAX)?;
            if known.len() >= SETTINGS_MAX {
                return Ok(SettingAnswer::Full);
            }
        }
        let stored = before.map_or(0, |before| counted(name.as_str().len(), before.len()));
        let bytes = counted(name.as_str().len(), value.len());
        if !self.may_store(&of.tenant, stored, bytes, stored_max)? {
            return Ok(SettingAnswer::BytesReached);
        }
        self.recount(&of.tenant, stored, bytes)?;
        self.group.put(Space::Records, key, value);
        Ok(SettingAnswer::Set)
    }

    /// Removes a setting.
    pub(in crate::embedded) fn unset(&mut self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<bool> {
        let key = keys::setting(of, kind, name.as_str());
        let Some(before) = self.group.get(Space::Records, &key)? else { return Ok(false) };
        self.recount(&of.tenant, counted(name.as_str().len(), before.len()), 0)?;
        self.group.remove(Space::Records, key);
        Ok(true)
    }

    /// Deletes all values and settings of a function.
    pub(in crate::embedded) fn forget(&mut self, of: &Namespace) -> Result<()> {
        let NamespaceRecord { entries, bytes, .. } = self.namespace(of)?;
        let mut stored = bytes.saturating_add(entries.saturating_mul(VALUE_BYTES));
        for prefix in [SettingKind::Config, SettingKind::Secret].map(|kind| keys::settings(of, kind)) {
            for key in self.group.keys(Space::Records, &prefix, &keys::past(&prefix), usize::MAX)? {
                let value = self.group.get(Space::Records, &key)?.unwrap_or_default();
                stored = stored.saturating_add(counted(key.len() - prefix.len(), value.len()));
                self.group.remove(Space::Records, key);
            }
        }
        self.recount(&of.tenant, stored, 0)?;
        for (space, prefix) in [(Space::Blobs, keys::values(of)), (Space::Index, keys::expiries(of))] {
            for key in self.group.keys(space, &prefix, &keys::past(&prefix), usize::MAX)? {
                self.group.remove(space, key);
            }
        }
        // Later namespaces of its tenant continue after its revisions, so that none is used again.
        let highest = self.namespace(of)?.revision.max(self.former_revision(of)?);
        if highest > 0 {
            self.group.put(Space::Records, keys::former_revision(&of.tenant), records::encode(&highest)?);
        }
        self.group.remove(Space::Records, keys::namespace(of));
        Ok(())
    }

    fn former_revision(&self, of: &Namespace) -> Result<Revision> {
        let bytes = self.group.get(Space::Records, &keys::former_revision(&of.tenant))?;
        bytes.map_or(Ok(0), |bytes| records::decode("a revision", &bytes))
    }

    fn remove_expired(&mut self, of: &Namespace) -> Result<()> {
        let all = keys::expiries(of);
        for entry in self.group.keys(Space::Index, &all, &keys::expiries_until(of, self.now), REMOVED_MAX)? {
            let key = entry.get(all.len() + keys::TIME_BYTES..).unwrap_or_default().to_vec();
            match self.value_record(of, &key)? {
                Some(record) if !record.is_live(self.now) => self.remove_value(of, &key, &record)?,
                _ => self.group.remove(Space::Index, entry),
            }
        }
        Ok(())
    }

    fn remove_value(&mut self, of: &Namespace, key: &[u8], record: &ValueRecord) -> Result<()> {
        self.drop_expiry(of, key, Some(record));
        self.group.remove(Space::Blobs, keys::value(of, key));
        let mut namespace = self.namespace(of)?;
        namespace.remove(key, record);
        self.recount(&of.tenant, counted(key.len(), record.value.len()), 0)?;
        self.put_namespace(of, &namespace)
    }

    fn drop_expiry(&mut self, of: &Namespace, key: &[u8], record: Option<&ValueRecord>) {
        if let Some(at) = record.and_then(|record| record.expires_at) {
            self.group.remove(Space::Index, keys::expiry(of, at, key));
        }
    }

    fn value_record(&self, of: &Namespace, key: &[u8]) -> Result<Option<ValueRecord>> {
        let bytes = self.group.get(Space::Blobs, &keys::value(of, key))?;
        bytes.map(|bytes| records::decode("a value", &bytes)).transpose()
    }

    fn namespace(&self, of: &Namespace) -> Result<NamespaceRecord> {
        let bytes = self.group.get(Space::Records, &keys::namespace(of))?;
        match bytes {
            Some(bytes) => records::decode("a namespace", &bytes),
            None => Ok(NamespaceRecord { revision: self.former_revision(of)?, ..NamespaceRecord::default() }),
        }
    }

    fn put_namespace(&mut self, of: &Namespace, record: &NamespaceRecord) -> Result<()> {
        self.group.put(Space::Records, keys::namespace(of), records::encode(record)?);
        Ok(())
    }
}

impl NamespaceRecord {
    fn remove(&mut self, key: &[u8], value: &ValueRecord) {
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub((key.len() + value.value.len()) as u64);
    }
}

impl ValueRecord {
    /// Returns true if the value has not expired at `now`.
    pub(in crate::embedded) fn is_live(&self, now: Millis) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}
