//! Values and settings of functions in the embedded store.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvCursor, KvKey, KvPrefix, Revision, SettingName},
    time::Millis,
};

use super::{
    EmbeddedStore,
    engine::Space,
    keys,
    reads::Reads,
    records::{self, ValueRecord},
};
use crate::{
    Error, Result,
    kv::{Granted, KeyPage, Kv, Namespace, NewValue, SettingAnswer, SettingKind, Value},
};

impl Reads {
    fn value(&self, of: &Namespace, key: &[u8], now: Millis) -> Result<Option<Value>> {
        let Some(bytes) = self.snapshot()?.get(Space::Blobs, &keys::value(of, key))? else { return Ok(None) };
        let record: ValueRecord = records::decode("a value", &bytes)?;
        Ok(record.is_live(now).then_some(Value { revision: record.revision, value: record.value }))
    }

    /// Returns the live keys among the next entries; the last key that was looked at is the place where they end.
    fn list_keys(
        &self,
        of: &Namespace,
        prefix: &KvPrefix,
        after: &KvCursor,
        seen_max: usize,
        now: Millis,
    ) -> Result<KeyPage> {
        let (start, own) = (keys::value(of, prefix.as_bytes()), keys::values(of).len());
        let from = match after.is_empty() {
            true => start.clone(),
            false => keys::next(&keys::value(of, after.as_bytes())).max(start.clone()),
        };
        let (mut page, mut seen) = (KeyPage::default(), 0);
        for entry in self.snapshot()?.entries(Space::Blobs, &from, &keys::past(&start))?.take(seen_max) {
            let (place, bytes) = entry?;
            let record: ValueRecord = records::decode("a value", &bytes)?;
            let key = Bytes::copy_from_slice(place.get(own..).unwrap_or_default());
            let bad = |_| Error::Corrupt("the key of a value".to_owned());
            seen += 1;
            if seen == seen_max {
                page.next = key.clone().try_into().map_err(bad)?;
            }
            if record.is_live(now) {
                page.keys.push(key.try_into().map_err(bad)?);
            }
        }
        Ok(page)
    }

    fn settings(&self, of: &Namespace, kind: SettingKind) -> Result<Vec<(SettingName, Bytes)>> {
        let prefix = keys::settings(of, kind);
        let read = |entry: Result<(keys::Key, Bytes)>| {
            let (key, value) = entry?;
            let name = key.get(prefix.len()..).and_then(|name| str::from_utf8(name).ok()?.parse().ok());
            Ok((name.ok_or_else(|| Error::Corrupt("the name of a setting".to_owned()))?, value))
        };
        let snapshot = self.snapshot()?;
        snapshot.entries(Space::Records, &prefix, &keys::past(&prefix))?.map(read).collect()
    }
}

#[async_trait]
impl Kv for EmbeddedStore {
    async fn value(&self, of: &Namespace, key: &KvKey) -> Result<Option<Value>> {
        self.reads.value(of, key.as_bytes(), self.clock.now())
    }

    async fn set_value(&self, of: &Namespace, new: NewValue) -> Result<Granted<Revision>> {
        let of = of.clone();
        self.writer.grow(new.value.as_bytes().len(), move |steps| steps.set_value(&of, &new)).await
    }

    async fn delete_value(&self, of: &Namespace, key: &KvKey, expects: Expects) -> Result<Granted<bool>> {
        let (of, key) = (of.clone(), key.clone());
        self.writer.step(0, move |steps| steps.delete_value(&of, key.as_bytes(), expects)).await
    }

    async fn list_keys(
        &self,
        of: &Namespace,
        prefix: &KvPrefix,
        after: &KvCursor,
        seen_max: usize,
    ) -> Result<Granted<KeyPage>> {
        self.reads.list_keys(of, prefix, after, seen_max, self.clock.now()).map(Ok)
    }

    async fn setting(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<Option<Bytes>> {
        self.reads.snapshot()?.get(Space::Records, &keys::setting(of, kind, name.as_str()))
    }

    async fn settings(&self, of: &Namespace, kind: SettingKind) -> Result<Vec<(SettingName, Bytes)>> {
        self.reads.settings(of, kind)
    }

    async fn set_setting(
        &self,
        of: &Namespace,
        kind: SettingKind,
        name: &SettingName,
        value: Bytes,
        stored_max: u64,
    ) -> Result<SettingAnswer> {
        let (of, name) = (of.clone(), name.clone());
        self.writer.grow(value.len(), move |steps| steps.set_setting(&of, kind, &name, value.clone(), stored_max)).await
    }

    async fn unset(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<bool> {
        let (of, name) = (of.clone(), name.clone());
        self.writer.step(0, move |steps| steps.unset(&of, kind, &name)).await
    }

    async fn forget(&self, of: &Namespace) -> Result<()> {
        let of = of.clone();
        self.writer.step(0, move |steps| steps.forget(&of)).await
    }
}
