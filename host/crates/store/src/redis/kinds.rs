//! Kinds: the words that many tasks have in common, kept once in each place under a name that is made of their hash. Independent
//! of the steps.
//!
//! The words of a kind:
//!
//! | words | meaning |
//! |---|---|
//! | 1, 2 | version and module |
//! | 3, 4 | times for which a completed or cancelled task and a dead letter are kept, in seconds of 7 digits |
//! | 5 to 8 | tenant, name of the function, priority, largest number of attempts without releases |
//! | 9 to 13 | limits: fuel, wall time, memory, output, log |
//! | 14 | the limit of CPU time; absent if it is the largest and nothing follows |
//! | 15 | the bytes that are counted for the tags, and `t`; absent without tags |
//!
//! A name never gets other words, so a host keeps the kinds that it has read.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use fusebox_core::{
    function::RunLimits,
    id::{Attempt, FunctionId, ModuleDigest},
    keep::Keep,
    limits::{CPU_MS_MAX, KEEP_S_MAX},
    name::{FunctionName, TenantId},
    task::Priority,
};
use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::{answers, caller::Caller, keys::Place, records, words::Words};
use crate::{NewTask, Result};

/// Number of bytes of the hash in a name.
const NAME_BYTES: usize = 12;
/// Largest number of kinds that are kept, about 400 bytes each.
const KINDS_MAX: usize = 10_000;

/// Parts of a kind.
#[derive(Debug)]
pub(super) struct Kind {
    /// Version that the tasks run.
    pub(super) function: FunctionId,
    /// Module that they were accepted for.
    pub(super) module: ModuleDigest,
    /// Times for which they are kept.
    pub(super) keep: Keep,
    /// Tenant that owns them.
    pub(super) tenant: TenantId,
    /// Name of the function at the time of acceptance.
    pub(super) function_name: FunctionName,
    /// Priority.
    pub(super) priority: Priority,
    /// Largest number of attempts without releases.
    pub(super) attempts_max: Attempt,
    /// Limits of each run.
    pub(super) limits: RunLimits,
}

/// Encodes the words that a new task can share with others.
pub(super) fn words(task: &NewTask) -> String {
    let NewTask { attempts_max, tenant, function_name, .. } = task;
    let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = task.limits;
    let (priority, version) = (records::priority(task.priority), records::version(task.function));
    let module = BASE64.encode(task.module.0);
    let [results_s, failed_s] = [task.keep.results_s, task.keep.failed_s].map(|kept_s| kept_s.min(KEEP_S_MAX));
    let tags = task.tags.stored_bytes();
    let cpu = if cpu_ms == CPU_MS_MAX && tags == 0 { String::new() } else { format!(" {cpu_ms}") };
    let tags = if tags == 0 { String::new() } else { format!(" {tags}t") };
    format!(
        "{version} {module} {results_s:07} {failed_s:07} {tenant} {function_name} {priority} {attempts_max} {fuel} {wall_ms} \
         {memory_bytes} {output_bytes} {log_bytes}{cpu}{tags}"
    )
}

/// Returns the name of the kind with these words.
pub(super) fn name(words: &str) -> String {
    let hash = Sha256::digest(words);
    BASE64.encode(&hash[..NAME_BYTES])
}

/// Decodes the words of the kind with this name.
pub(super) fn read(name: &str, words: &str) -> Result<Kind> {
    let mut words = Words::new(&name, words);
    let function = FunctionId::from_bytes(words.bytes("version")?.ok_or_else(|| words.bad("version"))?);
    let module = ModuleDigest(words.bytes("module")?.ok_or_else(|| words.bad("module"))?);
    let keep = Keep { results_s: words.parsed("retention")?, failed_s: words.parsed("retention")? };
    let (tenant, function_name) = (words.parsed("tenant")?, words.parsed("function name")?);
    let (priority, attempts_max) = (words.priority()?, words.parsed("attempts_max")?);
    let limits = words.limits()?;
    let limits = RunLimits { cpu_ms: words.added("CPU time")?.unwrap_or(CPU_MS_MAX), ..limits };
    Ok(Kind { function, module, keep, tenant, function_name, priority, attempts_max, limits })
}

/// Kinds that were read.
pub(super) struct Kinds(Cache<String, Arc<Kind>>);

impl Kinds {
    /// Creates an empty cache.
    pub(super) fn new() -> Self {
        Self(Cache::new(KINDS_MAX))
    }

    /// Returns the kind of a record; `None` if it is not there, as after the end of its last task.
    pub(super) async fn of(&self, caller: &Caller, place: Place, record: &str) -> Result<Option<Arc<Kind>>> {
        let name = records::kind_of(record).ok_or_else(|| answers::unexpected("a record"))?;
        if let Some(known) = self.0.get(name) {
            return Ok(Some(known));
        }
        let mut command = redis::cmd("HGET");
        command.arg(place.kind(name)).arg("words");
        let Some(words) = answers::optional_text(caller.send(place, &command).await?)? else { return Ok(None) };
        let kind = Arc::new(read(name, &words)?);
        self.0.insert(name.to_owned(), kind.clone());
        Ok(Some(kind))
    }
}
