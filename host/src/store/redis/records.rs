//! How a task and a function version are written into their hashes, and read from them. The names of fields that the
//! Python platform had are its own: `function_id`, `param_payload`, `status`, `result`; `name`, `payload`. Knows no key.

use fusebox_core::{
    error::ErrorCode,
    function::{Abi, FunctionVersion, RunLimits},
    id::{LeaseToken, TaskId, to_hex},
    outcome::{Failure, Receipt},
    task::{Ended, Fingerprint, Lease, Priority, Status, Task, TaskState},
    time::Millis,
};
use redis::Value;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::answers;
use crate::store::{Error, Result};

/// A task's fields but for its bytes, in the order in which they are read.
pub(super) const FIELDS: [&str; 22] = [
    "status",
    "tenant",
    "function_id",
    "function_name",
    "module",
    "limits",
    "priority",
    "created_at",
    "expires_at",
    "attempt",
    "attempts_max",
    "releases",
    "fingerprint",
    "retry_of",
    "not_before",
    "worker",
    "token",
    "leased_at",
    "lease_until",
    "ended_at",
    "receipt",
    "error",
];

/// A function version's fields but for its module's bytes, in the order in which they are read.
pub(super) const FUNCTION_FIELDS: [&str; 8] =
    ["tenant", "name", "version", "module", "module_bytes", "abi", "limits", "created_at"];

/// A task, and what else its record says of the run.
pub(super) struct TaskRecord {
    /// The task.
    pub(super) task: Task,
    /// The module it was accepted for.
    pub(super) module: String,
    /// The function's name at that time.
    pub(super) function_name: String,
}

/// How limits are written.
#[derive(Serialize, Deserialize)]
struct LimitsRecord {
    fuel: u64,
    wall_ms: u32,
    memory_bytes: u64,
    output_bytes: u64,
    log_bytes: u64,
}

/// How a failure is written.
#[derive(Serialize, Deserialize)]
struct FailureRecord {
    code: String,
    message: String,
    #[serde(default)]
    backtrace: Vec<String>,
}

/// The word for a priority.
pub(super) const fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    }
}

/// Limits as they are written.
pub(super) fn limits(limits: &RunLimits) -> String {
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes } = *limits;
    json(&LimitsRecord { fuel, wall_ms, memory_bytes, output_bytes, log_bytes })
}

/// A failure as it is written.
pub(super) fn failure(failure: &Failure) -> String {
    let Failure { code, message, backtrace } = failure.clone();
    json(&FailureRecord { code: code.as_str().to_owned(), message, backtrace })
}

/// A receipt as it is written.
pub(super) fn receipt(receipt: &Receipt) -> String {
    json(receipt)
}

/// A token as it is written.
pub(super) fn token(token: &LeaseToken) -> String {
    to_hex(&token.0)
}

/// A fingerprint as it is written; empty for none.
pub(super) fn fingerprint(fingerprint: Option<&Fingerprint>) -> String {
    fingerprint.map(|fingerprint| to_hex(&fingerprint.0)).unwrap_or_default()
}

/// The task of this id with these fields.
pub(super) fn task(id: TaskId, fields: Vec<Value>) -> Result<TaskRecord> {
    let mut fields = Fields::new(id.to_string(), &FIELDS, fields)?;
    let state = state(&mut fields)?;
    let limits: LimitsRecord = fields.json("limits")?;
    let task = Task {
        id,
        tenant: fields.parsed("tenant")?,
        function: fields.parsed("function_id")?,
        limits: limits.into(),
        priority: fields.one_of("priority", &Priority::HIGHEST_FIRST, priority)?,
        created_at: Millis(fields.parsed("created_at")?),
        expires_at: Millis(fields.parsed("expires_at")?),
        attempt: fields.parsed("attempt")?,
        attempts_max: fields.parsed("attempts_max")?,
        releases: fields.parsed("releases")?,
        fingerprint: fields.optional_hex("fingerprint")?.map(Fingerprint),
        retry_of: fields.optional("retry_of")?,
        state,
    };
    Ok(TaskRecord { task, module: fields.text("module")?, function_name: fields.text("function_name")? })
}

fn state(fields: &mut Fields) -> Result<TaskState> {
    const STATUSES: [Status; 4] = [Status::Queued, Status::Running, Status::Completed, Status::Failed];
    Ok(match fields.one_of("status", &STATUSES, Status::as_str)? {
        Status::Queued => TaskState::Queued { not_before: Millis(fields.parsed("not_before")?) },
        Status::Running => TaskState::Running(Lease {
            worker: fields.parsed("worker")?,
            token: LeaseToken(fields.optional_hex("token")?.ok_or_else(|| fields.bad("token"))?),
            started_at: Millis(fields.parsed("leased_at")?),
            expires_at: Millis(fields.parsed("lease_until")?),
        }),
        Status::Completed => TaskState::Completed(ended(fields)?),
        Status::Failed => {
            let FailureRecord { code, message, backtrace } = fields.json("error")?;
            let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code);
            let code = *known.ok_or_else(|| fields.bad("error"))?;
            TaskState::Failed(Failure { code, message, backtrace }, ended(fields)?)
        }
    })
}

fn ended(fields: &mut Fields) -> Result<Ended> {
    // The host ends tasks without a receipt of a run.
    let receipt = match fields.take("receipt") {
        Some(text) => read_receipt(&text).ok_or_else(|| fields.bad("receipt"))?,
        None => Receipt { attempt: fields.peek("attempt")?, ..Receipt::default() },
    };
    let token = fields.optional_hex("token")?.map(LeaseToken);
    Ok(Ended { at: Millis(fields.parsed("ended_at")?), token, receipt })
}

/// A receipt that was written; what an older version did not write is as if it were not used.
fn read_receipt(text: &str) -> Option<Receipt> {
    if let Ok(receipt) = serde_json::from_str(text) {
        return Some(receipt);
    }
    let mut receipt = serde_json::to_value(Receipt::default()).ok()?;
    receipt.as_object_mut()?.extend(serde_json::from_str::<serde_json::Map<_, _>>(text).ok()?);
    serde_json::from_value(receipt).ok()
}

/// The function version of this id with these fields.
pub(super) fn function(id: &str, fields: Vec<Value>) -> Result<FunctionVersion> {
    let mut fields = Fields::new(id.to_owned(), &FUNCTION_FIELDS, fields)?;
    let limits: LimitsRecord = fields.json("limits")?;
    Ok(FunctionVersion {
        id: id.parse().map_err(|_| fields.bad("id"))?,
        tenant: fields.parsed("tenant")?,
        name: fields.parsed("name")?,
        version: fields.parsed("version")?,
        module: fields.parsed("module")?,
        module_bytes: fields.parsed("module_bytes")?,
        abi: fields.one_of("abi", &[Abi::Core, Abi::Command], Abi::as_str)?,
        limits: limits.into(),
        created_at: Millis(fields.parsed("created_at")?),
    })
}

impl From<LimitsRecord> for RunLimits {
    fn from(LimitsRecord { fuel, wall_ms, memory_bytes, output_bytes, log_bytes }: LimitsRecord) -> Self {
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes }
    }
}

/// No type of this file can fail to be written as JSON.
fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The fields of one record, each read once.
struct Fields {
    record: String,
    names: &'static [&'static str],
    texts: Vec<Option<String>>,
}

impl Fields {
    fn new(record: String, names: &'static [&'static str], values: Vec<Value>) -> Result<Self> {
        let texts: Vec<_> = values.into_iter().map(answers::optional_text).collect::<Result<_>>()?;
        match texts.len() == names.len() {
            true => Ok(Self { record, names, texts }),
            false => Err(answers::unexpected("a record")),
        }
    }

    fn bad(&self, name: &str) -> Error {
        Error::Corrupt(format!("{}: {name}", self.record))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.names.iter().position(|known| *known == name)?;
        self.texts.get_mut(at)?.take()
    }

    fn text(&mut self, name: &str) -> Result<String> {
        self.take(name).ok_or_else(|| self.bad(name))
    }

    fn parsed<T: std::str::FromStr>(&mut self, name: &str) -> Result<T> {
        let text = self.text(name)?;
        text.parse().map_err(|_| self.bad(name))
    }

    /// Reads a field that is to be read again.
    fn peek<T: std::str::FromStr>(&self, name: &str) -> Result<T> {
        let at = self.names.iter().position(|known| *known == name);
        let text = at.and_then(|at| self.texts.get(at)?.as_deref());
        text.and_then(|text| text.parse().ok()).ok_or_else(|| self.bad(name))
    }

    fn optional<T: std::str::FromStr>(&mut self, name: &str) -> Result<Option<T>> {
        let text = self.take(name);
        text.map(|text| text.parse().map_err(|_| self.bad(name))).transpose()
    }

    fn one_of<T: Copy>(&mut self, name: &str, all: &[T], word: impl Fn(T) -> &'static str) -> Result<T> {
        let text = self.text(name)?;
        all.iter().copied().find(|one| word(*one) == text).ok_or_else(|| self.bad(name))
    }

    fn json<T: DeserializeOwned>(&mut self, name: &str) -> Result<T> {
        self.optional_json(name)?.ok_or_else(|| self.bad(name))
    }

    fn optional_json<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>> {
        let text = self.take(name);
        text.map(|text| serde_json::from_str(&text).map_err(|_| self.bad(name))).transpose()
    }

    fn optional_hex<const N: usize>(&mut self, name: &str) -> Result<Option<[u8; N]>> {
        let text = self.take(name);
        text.map(|text| hex(&text).ok_or_else(|| self.bad(name))).transpose()
    }
}

fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect();
    bytes.filter(|_| rest.is_empty())?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0190d5a0-7b1a-7c3e-8f00-0123456789ab";

    /// A waiting task's fields, with others in place of some.
    fn fields(others: &[(&str, &str)]) -> Vec<Value> {
        let known = [
            ("status", "QUEUED"),
            ("tenant", "acme"),
            ("function_id", ID),
            ("function_name", "f"),
            ("module", "00"),
            ("limits", r#"{"fuel":1,"wall_ms":2,"memory_bytes":3,"output_bytes":4,"log_bytes":5}"#),
            ("priority", "high"),
            ("created_at", "6"),
            ("expires_at", "18446744073709551615"),
            ("attempt", "0"),
            ("attempts_max", "3"),
            ("releases", "0"),
            ("not_before", "7"),
        ];
        let value = |name: &str| {
            let all = others.iter().chain(&known);
            let found = all.clone().find(|(known, _)| *known == name).map(|(_, text)| *text);
            found.map_or(Value::Nil, |text| Value::BulkString(text.as_bytes().to_vec()))
        };
        FIELDS.iter().map(|name| value(name)).collect()
    }

    fn read(others: &[(&str, &str)]) -> Result<Task> {
        task(ID.parse().unwrap(), fields(others)).map(|record| record.task)
    }

    #[test]
    fn a_task_is_read_as_it_is_written() {
        let task = read(&[]).unwrap();
        assert_eq!((task.id.to_string().as_str(), task.tenant.as_str(), task.priority), (ID, "acme", Priority::High));
        assert_eq!((task.expires_at, task.state), (Millis::NEVER, TaskState::Queued { not_before: Millis(7) }));
        assert_eq!(limits(&task.limits), r#"{"fuel":1,"wall_ms":2,"memory_bytes":3,"output_bytes":4,"log_bytes":5}"#);
        let fingerprinted = read(&[("fingerprint", &"a5".repeat(32)), ("retry_of", ID)]).unwrap();
        assert_eq!((fingerprinted.fingerprint, fingerprinted.retry_of), (Some(Fingerprint([0xa5; 32])), Some(task.id)));
    }

    #[test]
    fn a_receipt_of_an_older_version_is_read() {
        let ended = [("status", "COMPLETED"), ("ended_at", "9"), ("attempt", "2")];
        let by_host = read(&ended).unwrap();
        assert_eq!(by_host.ended().unwrap().receipt, Receipt { attempt: 2, ..Receipt::default() });
        let older = read(&[&ended[..], &[("receipt", r#"{"fuel":5,"gone":1}"#)]].concat()).unwrap();
        assert_eq!(older.ended().unwrap().receipt, Receipt { fuel: Some(5), ..Receipt::default() });
    }

    #[test]
    fn what_is_no_record_is_corrupt_and_names_the_field() {
        let bad = [
            ("status", "SLEEPING"),
            ("tenant", "A B"),
            ("limits", "{}"),
            ("priority", "0"),
            ("attempt", "-1"),
            ("fingerprint", "+1"),
            ("retry_of", "x"),
        ];
        for (name, text) in bad {
            match read(&[(name, text)]) {
                Err(Error::Corrupt(reason)) => assert_eq!(reason, format!("{ID}: {name}")),
                other => panic!("{name}: {other:?}"),
            }
        }
        assert!(read(&[("status", "RUNNING")]).is_err() && read(&[("status", "FAILED")]).is_err());
        assert!(task(ID.parse().unwrap(), Vec::new()).is_err());
    }
}
