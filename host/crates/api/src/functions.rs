//! Functions: registration, versions and their limits. Sizes are bytes, times RFC 3339 in UTC.

use fusebox_core::{
    capability::{GrantError, Grants},
    function::{FunctionVersion, LimitError, RunLimits, VersionState},
    outcome::Failure,
    setup::Setup,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{rfc3339, setup::FilesView, tasks::WaitingFor};

/// Query of a registration.
#[derive(Clone, Debug, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Registration {
    /// Name of the function: 1 to 128 characters, not shaped like a UUID. A name in use gets its next version.
    pub name: String,
}

/// Grants of a registration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GrantParams {
    /// Capabilities beyond those that every function has, separated by commas: `config`, `secrets`, `kv` and
    /// `http=HOST`, where a host is `api.example.com` or `*.example.com`, with `:PORT` for a port other than the
    /// scheme's.
    pub grants: Option<String>,
}

impl GrantParams {
    /// Parses the grants.
    ///
    /// # Errors
    /// Fails with the first entry that is not a grant.
    pub fn read(&self) -> Result<Grants, GrantError> {
        self.grants.as_deref().map_or_else(|| Ok(Grants::default()), Grants::parse_list)
    }
}

/// Limits of a run. A limit left out is the host's default at registration, and the function's own for a task.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LimitParams {
    /// CPU budget of a run in fuel units. Given alone it sets the CPU time to its maximum.
    pub fuel: Option<u64>,
    /// Wall time of a run in milliseconds.
    pub wall_ms: Option<u32>,
    /// Linear memory of a run in bytes.
    pub memory_bytes: Option<u64>,
    /// Output of a run in bytes.
    pub output_bytes: Option<u64>,
    /// Log kept of a run, in bytes.
    pub log_bytes: Option<u64>,
    /// CPU time of a run in milliseconds. Given alone it sets the fuel to what the tightest loops use in it.
    pub cpu_ms: Option<u32>,
}

impl LimitParams {
    /// Returns these limits, completed from `other`.
    ///
    /// # Errors
    /// Fails with the first limit that is zero or above `ceiling`.
    pub fn over(&self, other: RunLimits, ceiling: &RunLimits) -> Result<RunLimits, LimitError> {
        let limits = self.complete(other, ceiling);
        limits.check(ceiling).map(|()| limits)
    }

    /// Returns these limits, completed from `other`, without checking them. `ceiling` bounds those that others bring.
    #[must_use]
    pub fn complete(&self, other: RunLimits, ceiling: &RunLimits) -> RunLimits {
        let limits = RunLimits {
            wall_ms: self.wall_ms.unwrap_or(other.wall_ms),
            memory_bytes: self.memory_bytes.unwrap_or(other.memory_bytes),
            output_bytes: self.output_bytes.unwrap_or(other.output_bytes),
            log_bytes: self.log_bytes.unwrap_or(other.log_bytes),
            ..other
        };
        limits.with_cpu(self.fuel, self.cpu_ms, ceiling)
    }
}

/// One immutable version of a function.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FunctionView {
    /// Id of the version, a UUID.
    pub id: String,
    /// Name under which it was registered.
    pub name: String,
    /// 1 for the first version of a name, then 2, …
    pub version: u32,
    /// SHA-256 of the module's wasm bytes, hexadecimal.
    pub module: String,
    /// Size of the module in bytes.
    pub module_bytes: u64,
    /// Calling convention of the module: `core`, `command`, `component`, `http`, `extism` or `reactor`.
    pub abi: String,
    /// Limits of one run.
    pub limits: LimitsView,
    /// Capabilities granted: `config`, `secrets`, `kv`, `http=HOST`.
    #[serde(default)]
    pub grants: Vec<String>,
    /// Arguments of each run, before those of its request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment variables of each run, `NAME=VALUE`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Files that each run sees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesView>,
    /// Name of the exported function that a run enters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<String>,
    /// True if HTTP requests of the function need no API key.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// Content type of the answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Language of the script: `javascript` or `python`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Runtime that runs the script, such as `python3.13`; `module` is its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Time of registration.
    pub created_at: String,
    /// State of the version: `ready`, `compiling`, or `failed`, with the reason in `error`.
    #[serde(default = "ready")]
    pub state: String,
    /// Reason why the module could not be compiled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<CompileErrorView>,
    /// Time that the module took to compile, in milliseconds; only in the response to its registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compile_ms: Option<u64>,
    /// Reason for which its tasks wait; only in responses about one version that has tasks which have not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<WaitingFor>,
    /// Grants that the previous version did not have; only in the response to the registration of a later version with
    /// grants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_grants: Option<Vec<String>>,
}

impl FunctionView {
    /// Returns true if the version waits for its compilation or is being compiled.
    #[must_use]
    pub fn is_compiling(&self) -> bool {
        self.state == VersionState::Compiling.as_str()
    }
}

/// State of a version of a host that names none.
fn ready() -> String {
    VersionState::Ready.as_str().to_owned()
}

/// Reason why a version failed.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CompileErrorView {
    /// Stable code for programs.
    pub code: String,
    /// Sentence that describes the problem and the remedy.
    pub message: String,
}

/// Limits of one run.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct LimitsView {
    /// CPU budget in fuel units.
    pub fuel: u64,
    /// Wall time in milliseconds.
    pub wall_ms: u32,
    /// Linear memory in bytes.
    pub memory_bytes: u64,
    /// Output in bytes.
    pub output_bytes: u64,
    /// Log kept, in bytes.
    pub log_bytes: u64,
    /// CPU time in milliseconds; 0 from a host that does not limit it.
    #[serde(default)]
    pub cpu_ms: u32,
}

/// Page of function versions.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct FunctionPage {
    /// Function versions.
    pub items: Vec<FunctionView>,
    /// The `cursor` of the next page; null on the last.
    pub next: Option<String>,
}

impl From<&FunctionVersion> for FunctionView {
    fn from(function: &FunctionVersion) -> Self {
        let Setup { args, env, files, files_bytes, export, is_public, content_type, runtime } = function.setup.clone();
        Self {
            id: function.id.to_string(),
            name: function.name.to_string(),
            version: function.version,
            module: function.module.to_string(),
            module_bytes: function.module_bytes,
            abi: function.abi.as_str().to_owned(),
            limits: function.limits.into(),
            grants: function.grants.each().map(|grant| grant.to_string()).collect(),
            args,
            env: env.into_iter().map(|(name, value)| format!("{name}={value}")).collect(),
            files: files.map(|digest| FilesView { digest: digest.to_string(), bytes: files_bytes }),
            export,
            public: is_public,
            content_type,
            language: runtime.as_ref().map(|runtime| runtime.language().to_string()),
            runtime: runtime.map(Into::into),
            created_at: rfc3339(function.created_at),
            state: function.state.as_str().to_owned(),
            error: match &function.state {
                VersionState::Failed(Failure { code, message, .. }) => {
                    Some(CompileErrorView { code: code.to_string(), message: message.clone() })
                }
                VersionState::Ready | VersionState::Compiling => None,
            },
            compile_ms: None,
            waiting_for: None,
            new_grants: None,
        }
    }
}

impl From<RunLimits> for LimitsView {
    fn from(limits: RunLimits) -> Self {
        let RunLimits { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms } = limits;
        Self { fuel, wall_ms, memory_bytes, output_bytes, log_bytes, cpu_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_read_or_refused() {
        let read = |text: &str| GrantParams { grants: Some(text.to_owned()) }.read();
        assert_eq!(GrantParams::default().read(), Ok(Grants::default()));
        assert_eq!(read("kv,config").unwrap().to_list(), "config,kv");
        assert_eq!(read("kv,root"), Err(GrantError::Unknown("root".to_owned())));
    }
}
