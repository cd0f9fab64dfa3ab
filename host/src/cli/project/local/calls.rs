//! Answers to the host calls of local runs. Configuration and secrets are what a person supplies; the key-value namespace
//! is in memory and starts anew with each run; HTTP requests are sent, or answered from a list.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use fusebox_core::capability::{HostAnswer, HostCall, KvKey, KvValue, Redacted, Refusal, SettingName};
use fusebox_sandbox::{Guest, HostCalls, WaitLimit};
use serde::Deserialize;

use super::{
    entries::Entries,
    web::{Answers, Asked},
};
use crate::cli::project::{manifest::Written, place::Misplaced};

/// Values that a person supplies for runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Supplies {
    config: BTreeMap<SettingName, String>,
    secrets: BTreeMap<SettingName, String>,
    entries: BTreeMap<String, String>,
    answers: Answers,
}

/// Content of a file of supplies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Supplied {
    #[serde(default)]
    config: BTreeMap<Written<SettingName>, String>,
    #[serde(default)]
    secrets: BTreeMap<Written<SettingName>, String>,
    #[serde(default)]
    kv: BTreeMap<String, String>,
    #[serde(default)]
    http: Vec<toml::Spanned<Answer>>,
}

/// Answer to an HTTP request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    request: Written<Asked>,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: String,
}

const fn ok() -> u16 {
    200
}

impl Supplies {
    /// Returns supplies of configuration and secrets.
    pub(crate) fn new(config: BTreeMap<SettingName, String>, secrets: BTreeMap<SettingName, String>) -> Self {
        Self { config, secrets, ..Self::default() }
    }

    /// Reads a file of supplies on top of these: configuration, secrets, entries at the start of each run, and answers to
    /// HTTP requests. A file that does not exist supplies nothing.
    ///
    /// # Errors
    /// Fails with file, line and column if it is not valid.
    pub(crate) fn read(mut self, file: &Path) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(file) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(self),
            text => text.map_err(|error| anyhow::anyhow!("cannot read {}: {error}", file.display()))?,
        };
        let supplied: Supplied = toml::from_str(&text).map_err(|error| Misplaced::of_toml(file, &text, &error))?;
        self.config.extend(supplied.config.into_iter().map(|(name, value)| (name.0, value)));
        self.secrets.extend(supplied.secrets.into_iter().map(|(name, value)| (name.0, value)));
        for (key, value) in supplied.kv {
            entry(&key, &value).map_err(|refusal| {
                Misplaced::new(file, &text, None, format!("the entry {key:?} cannot be one: {refusal}"))
            })?;
            self.entries.insert(key, value);
        }
        for answer in supplied.http {
            let span = answer.span();
            let Answer { request, status, headers, body } = answer.into_inner();
            let added = self.answers.add(request.0, status, &headers, body.into());
            added.map_err(|message| Misplaced::new(file, &text, Some(span), message))?;
        }
        Ok(self)
    }
}

fn entry(key: &str, value: &str) -> Result<(KvKey, KvValue), Refusal> {
    let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
    Ok((KvKey::try_from(bytes(key))?, KvValue::try_from(bytes(value))?))
}

/// Answers the calls of one run.
pub(crate) struct Calls {
    supplies: Supplies,
    entries: Mutex<Entries>,
    answers: Mutex<Answers>,
    /// Sender of HTTP requests; without one they are answered from the list.
    http: Option<Arc<dyn HostCalls>>,
    /// First lines of requests without an answer.
    unanswered: Mutex<BTreeSet<String>>,
}

impl Calls {
    /// Returns the calls of a run with these supplies; HTTP requests go to `http`, or are answered from the supplies.
    pub(crate) fn new(supplies: &Supplies, http: Option<Arc<dyn HostCalls>>) -> Self {
        let entries = supplies.entries.iter().filter_map(|(key, value)| entry(key, value).ok());
        Self {
            entries: Mutex::new(Entries::of(entries)),
            answers: Mutex::new(supplies.answers.clone()),
            supplies: supplies.clone(),
            http,
            unanswered: Mutex::default(),
        }
    }

    /// Returns the first lines of requests that no answer was supplied for, in order.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        lock(&self.unanswered).iter().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The content is consistent wherever a holder could panic, so poisoning can be ignored.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostCalls for Calls {
    fn call(&self, guest: Guest<'_>, call: HostCall, limit: &WaitLimit) -> Result<HostAnswer, Refusal> {
        let value = |values: &BTreeMap<SettingName, String>, name: &SettingName| {
            values.get(name).map(|value| Bytes::copy_from_slice(value.as_bytes())).ok_or(Refusal::Absent)
        };
        match call {
            HostCall::Config(name) => value(&self.supplies.config, &name).map(HostAnswer::Config),
            HostCall::Configs => {
                let all = self.supplies.config.iter().map(|(name, value)| (name.clone(), value.clone().into()));
                Ok(HostAnswer::Configs(all.collect()))
            }
            HostCall::Secret(name) => value(&self.supplies.secrets, &name).map(Redacted).map(HostAnswer::Secret),
            HostCall::KvGet(key) => lock(&self.entries).get(&key),
            HostCall::KvSet { key, value, ttl, expects } => lock(&self.entries).set(key, value, ttl, expects),
            HostCall::KvDelete { key, expects } => lock(&self.entries).delete(&key, expects),
            HostCall::KvKeys { prefix, after } => lock(&self.entries).keys(&prefix, &after),
            HostCall::Http(request) => match &self.http {
                Some(http) => http.call(guest, HostCall::Http(request), limit),
                None => lock(&self.answers).answer(request.as_bytes()).map_err(|(refusal, line)| {
                    lock(&self.unanswered).extend(line);
                    refusal
                }),
            },
        }
    }
}
