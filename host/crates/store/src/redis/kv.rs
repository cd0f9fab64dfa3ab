//! Values and settings of functions. Those of one function are in one place; on a Cluster, functions are spread over
//! partitions.

use async_trait::async_trait;
use bytes::Bytes;
use fusebox_core::{
    capability::{Expects, KvCursor, KvKey, KvPrefix, Refusal, Revision, SettingName},
    limits::{SETTINGS_MAX, VALUE_BYTES},
};
use redis::Value as Answer;

use super::{RedisStore, answers, caller::Call, keys::Place};
use crate::{
    Error, Result,
    kv::{Granted, KeyPage, Kv, Namespace, NewValue, SettingAnswer, SettingKind, Value},
};

impl RedisStore {
    fn place(&self, of: &Namespace) -> Place {
        self.caller.layout().of_function(&of.tenant, &of.function)
    }

    fn start(&self, of: &Namespace, function: &str) -> Call {
        self.caller.call(self.place(of), function).arg(of.tenant.as_str()).arg(of.function.as_str())
    }

    fn setting_call(&self, of: &Namespace, function: &str, kind: SettingKind, name: &SettingName) -> Call {
        let call = self.caller.call(self.place(of), function).arg(of.tenant.as_str());
        call.arg(self.key(of, kind)).arg(name.as_str())
    }

    fn key(&self, of: &Namespace, kind: SettingKind) -> String {
        self.place(of).settings(kind, &of.tenant, &of.function)
    }
}

#[async_trait]
impl Kv for RedisStore {
    async fn value(&self, of: &Namespace, key: &KvKey) -> Result<Option<Value>> {
        match self.caller.ask(self.start(of, "value").arg(key.as_bytes())).await? {
            Answer::Nil => Ok(None),
            answer => {
                let [revision, value] = answers::tuple(answer)?;
                let value = answers::bytes(value)?.ok_or_else(|| answers::unexpected("a value"))?;
                Ok(Some(Value { revision: answers::number(revision)?, value }))
            }
        }
    }

    async fn set_value(&self, of: &Namespace, new: NewValue) -> Result<Granted<Revision>> {
        let options = self.caller.options();
        let more = VALUE_BYTES + (new.key.as_bytes().len() + new.value.as_bytes().len()) as u64;
        let stored_max = self.counted.stored_max(&self.caller, &of.tenant, more, new.stored_max).await?;
        let call = self
            .start(of, "set_value")
            .arg(new.key.as_bytes())
            .arg(new.value.as_bytes())
            .arg(new.ttl.map(|ttl| ttl.ms().to_string()).unwrap_or_default())
            .arg(expects(new.expects))
            .arg(options.kv_entries_max)
            .arg(options.kv_bytes_max)
            .arg(stored_max);
        // A repeated call with a precondition would be compared with its own result.
        let call = if new.expects == Expects::Anything { call } else { call.once() };
        let mut answer = answers::list(self.caller.ask(call).await?)?.into_iter();
        match (answers::text(answer.next().unwrap_or_default())?.as_str(), answer.next()) {
            ("SET", Some(revision)) => Ok(Ok(answers::number(revision)?)),
            ("CONFLICT", _) => Ok(Err(Refusal::Conflict)),
            ("QUOTA", _) => Ok(Err(Refusal::Quota)),
            ("CLOSED", _) => Ok(Err(Refusal::Refused)),
            _ => Err(answers::unexpected("set_value")),
        }
    }

    async fn delete_value(&self, of: &Namespace, key: &KvKey, expected: Expects) -> Result<Granted<bool>> {
        let call = self.start(of, "delete_value").arg(key.as_bytes()).arg(expects(expected)).once();
        let [word] = answers::tuple(self.caller.ask(call).await?)?;
        match answers::text(word)?.as_str() {
            "DELETED" => Ok(Ok(true)),
            "ABSENT" => Ok(Ok(false)),
            "CONFLICT" => Ok(Err(Refusal::Conflict)),
            _ => Err(answers::unexpected("delete_value")),
        }
    }

    async fn list_keys(
        &self,
        of: &Namespace,
        prefix: &KvPrefix,
        after: &KvCursor,
        seen_max: usize,
    ) -> Result<Granted<KeyPage>> {
        let Some(cursor) = cursor(after) else { return Ok(Err(Refusal::Invalid)) };
        let call = self.start(of, "list_keys").arg(prefix.as_bytes()).arg(cursor).arg(seen_max);
        let [next, found] = answers::tuple(self.caller.ask(call).await?)?;
        let key = |found| answers::bytes(found).map(Option::unwrap_or_default)?.try_into().map_err(|_| bad_key());
        let keys = answers::list(found)?.into_iter().map(key).collect::<Result<_>>()?;
        let next = match answers::number(next)? {
            0 => KvCursor::default(),
            place => Bytes::from(place.to_string()).try_into().map_err(|_| bad_key())?,
        };
        Ok(Ok(KeyPage { keys, next }))
    }

    async fn setting(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<Option<Bytes>> {
        let mut command = redis::cmd("HGET");
        command.arg(self.key(of, kind)).arg(name.as_str());
        answers::bytes(self.caller.send(self.place(of), &command).await?)
    }

    async fn settings(&self, of: &Namespace, kind: SettingKind) -> Result<Vec<(SettingName, Bytes)>> {
        let mut command = redis::cmd("HGETALL");
        command.arg(self.key(of, kind));
        let mut settings = Vec::new();
        for (name, value) in pairs(self.caller.send(self.place(of), &command).await?)? {
            let name = answers::text(name)?.parse().map_err(|_| answers::unexpected("a setting's name"))?;
            settings.push((name, answers::bytes(value)?.ok_or_else(|| answers::unexpected("a setting"))?));
        }
        settings.sort();
        Ok(settings)
    }

    async fn set_setting(
        &self,
        of: &Namespace,
        kind: SettingKind,
        name: &SettingName,
        value: Bytes,
        stored_max: u64,
    ) -> Result<SettingAnswer> {
        let more = VALUE_BYTES + (name.as_str().len() + value.len()) as u64;
        let stored_max = self.counted.stored_max(&self.caller, &of.tenant, more, stored_max).await?;
        let call = self.setting_call(of, "set_setting", kind, name).arg(&value[..]).arg(SETTINGS_MAX).arg(stored_max);
        let call = call.arg(of.function.as_str());
        let [word] = answers::tuple(self.caller.ask(call).await?)?;
        match answers::text(word)?.as_str() {
            "SET" => Ok(SettingAnswer::Set),
            "FULL" => Ok(SettingAnswer::Full),
            "LARGE" => Ok(SettingAnswer::BytesReached),
            "CLOSED" => Ok(SettingAnswer::NoTenant),
            _ => Err(answers::unexpected("set_setting")),
        }
    }

    async fn unset(&self, of: &Namespace, kind: SettingKind, name: &SettingName) -> Result<bool> {
        Ok(answers::number(self.caller.ask(self.setting_call(of, "unset", kind, name)).await?)? > 0)
    }

    async fn forget(&self, of: &Namespace) -> Result<()> {
        let call = self.start(of, "forget").arg(self.key(of, SettingKind::Config));
        self.caller.ask(call.arg(self.key(of, SettingKind::Secret))).await.map(drop)
    }
}

/// Returns the cursor of a scan; `None` for a place that no page has.
fn cursor(after: &KvCursor) -> Option<u64> {
    match after.as_bytes() {
        b"" => Some(0),
        digits => str::from_utf8(digits).ok()?.parse().ok(),
    }
}

fn bad_key() -> Error {
    answers::unexpected("the key of a value")
}

/// Reads the names and values of a hash: a map, or alternating items in the older protocol.
fn pairs(answer: Answer) -> Result<Vec<(Answer, Answer)>> {
    if let Answer::Map(pairs) = answer {
        return Ok(pairs);
    }
    let (mut pairs, mut items) = (Vec::new(), answers::list(answer)?.into_iter());
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Returns a precondition as the library expects it: a word, or the digits of the revision.
fn expects(expects: Expects) -> String {
    match expects {
        Expects::Anything => "anything".to_owned(),
        Expects::Nothing => "nothing".to_owned(),
        Expects::Revision(revision) => revision.to_string(),
    }
}
