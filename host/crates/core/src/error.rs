//! Stable error codes for programs. A code is never renamed or reused; the accompanying message may change.

use serde::{Deserialize, Serialize};

/// Origin of an error. Determines the HTTP status and whether a task is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The request is invalid; repeating it cannot succeed.
    Client,
    /// The function's run failed: the task ends as FAILED, never as an HTTP 500.
    Guest,
    /// The host or its infrastructure failed; a retry may succeed.
    Host,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $class:ident;)*) => {
        /// Stable error code. [`ErrorCode::as_str`] returns the form that programs see.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $variant,)*
        }

        impl ErrorCode {
            /// All codes, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Returns the code as programs see it; also the last segment of a problem's `type`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Returns the origin of the error.
            #[must_use]
            pub const fn class(self) -> ErrorClass {
                match self { $(Self::$variant => ErrorClass::$class,)* }
            }
        }
    };
}

codes! {
    /// The request is malformed: a field, a parameter or an id.
    InvalidRequest = "invalid-request", Client;
    /// A field is missing or of the wrong type, or an id is malformed.
    UnprocessableRequest = "unprocessable-request", Client;
    /// The payload is not valid base64.
    InvalidBase64 = "invalid-base64", Client;
    /// A limit is zero or above its ceiling.
    InvalidLimits = "invalid-limits", Client;
    /// A name is not valid.
    InvalidName = "invalid-name", Client;
    /// The module is not a function that this host can run.
    InvalidModule = "invalid-module", Client;
    /// The module is not core wasm: it is text, a component, precompiled code or something else.
    UnsupportedModule = "unsupported-module", Client;
    /// The module imports a function that the host does not provide.
    UnknownImport = "unknown-import", Client;
    /// The module imports a function that requires a capability it was not granted.
    GrantRequired = "grant-required", Client;
    /// The module exceeds a structural limit.
    ModuleTooComplex = "module-too-complex", Client;
    /// Compilation of the module exceeds the compile limits.
    CompileLimit = "compile-limit", Client;
    /// The body exceeds its size limit.
    PayloadTooLarge = "payload-too-large", Client;
    /// No such function exists for the caller's tenant.
    FunctionNotFound = "function-not-found", Client;
    /// No such task exists for the caller's tenant.
    TaskNotFound = "task-not-found", Client;
    /// The function has no configuration value or secret of this name.
    SettingNotFound = "setting-not-found", Client;
    /// No route matches the path.
    RouteNotFound = "route-not-found", Client;
    /// The route does not support the method.
    MethodNotAllowed = "method-not-allowed", Client;
    /// The host requires an API key, and the request carries no valid one.
    Unauthorized = "unauthorized", Client;
    /// The API key is valid but lacks the required scope.
    Forbidden = "forbidden", Client;
    /// No such API key is visible to the caller.
    KeyNotFound = "key-not-found", Client;
    /// The API key is expired or revoked.
    KeyEnded = "key-ended", Client;
    /// The tenant has reached its limit of valid API keys.
    KeyQuota = "key-quota", Client;
    /// No such tenant is visible to the caller.
    TenantNotFound = "tenant-not-found", Client;
    /// A tenant of this name exists or existed.
    TenantExists = "tenant-exists", Client;
    /// The default tenant cannot be deleted.
    TenantStays = "tenant-stays", Client;
    /// The host has reached its limit of tenants.
    TenantQuota = "tenant-quota", Client;
    /// The `Host` or `Origin` header names a foreign origin.
    ForeignOrigin = "foreign-origin", Client;
    /// The request did not arrive in time.
    RequestTimeout = "request-timeout", Client;
    /// The task has not ended yet.
    TaskNotEnded = "task-not-ended", Client;
    /// The task has already ended.
    TaskEnded = "task-ended", Client;
    /// The task has not failed, so there is nothing to retry.
    TaskNotFailed = "task-not-failed", Client;
    /// The input of the ended task is no longer retained.
    InputGone = "input-gone", Client;
    /// The idempotency key was used with a different request.
    IdempotencyConflict = "idempotency-conflict", Client;
    /// The tenant has reached its limit of queued tasks.
    QueueFull = "queue-full", Client;
    /// The tenant has reached its limit of functions.
    FunctionQuota = "function-quota", Client;
    /// The function has reached its limit of configuration values or secrets.
    SettingQuota = "setting-quota", Client;
    /// The tenant exceeds its request rate.
    RateLimited = "rate-limited", Client;
    /// The tenant has reached its limit of concurrent runs.
    RunningQuota = "running-quota", Client;
    /// The tenant's runs have reserved its whole fuel quota.
    FuelQuota = "fuel-quota", Client;

    /// The function returned an error, panicked, or exited with a code other than 0.
    GuestError = "guest-error", Guest;
    /// The run trapped.
    Trap = "trap", Guest;
    /// The run exceeded its stack.
    StackOverflow = "stack-overflow", Guest;
    /// The run used up its fuel.
    OutOfFuel = "out-of-fuel", Guest;
    /// The run exceeded its wall time.
    DeadlineExceeded = "deadline-exceeded", Guest;
    /// The run exceeded its memory limit.
    OutOfMemory = "out-of-memory", Guest;
    /// The output exceeds its size limit.
    OutputTooLarge = "output-too-large", Guest;
    /// The run logged a multiple of its log limit; see [`crate::limits::LOG_FLOOD_FACTOR`].
    LogFlood = "log-flood", Guest;
    /// The guest passed a pointer or length outside its memory.
    BadPointer = "bad-pointer", Guest;
    /// The module cannot be instantiated, or lacks an export of the right type.
    BadModule = "bad-module", Guest;
    /// The task was cancelled.
    Cancelled = "cancelled", Guest;

    /// The task did not start before its expiry.
    Expired = "expired", Host;
    /// Every attempt was lost with its worker.
    AttemptsExhausted = "attempts-exhausted", Host;
    /// The host stopped the run: it drains, or the lease is lost.
    Interrupted = "interrupted", Host;
    /// No slot or no memory is free; retry after `Retry-After` seconds.
    Overloaded = "overloaded", Host;
    /// The host is shutting down.
    ShuttingDown = "shutting-down", Host;
    /// The host has no key with which to encrypt secrets.
    NoSecretsKey = "no-secrets-key", Host;
    /// The store does not respond.
    StoreUnavailable = "store-unavailable", Host;
    /// Internal fault of the host; details are in its log.
    Internal = "internal", Host;

    // New codes go at the end: messages between dispatcher and worker encode a code as its index.
    /// The body has a content encoding that is not accepted here.
    UnsupportedEncoding = "unsupported-encoding", Client;
    /// Nothing runs tasks: no dispatcher serves this store, or none has workers.
    NoDispatcher = "no-dispatcher", Host;
    /// The tenant has reached its limit of stored bytes.
    StorageQuota = "storage-quota", Client;
    /// The store has no room for this, or not for this tenant; retry after `Retry-After` seconds.
    StoreFull = "store-full", Host;
    /// The version is still being compiled.
    FunctionCompiling = "function-compiling", Client;
    /// The version's compilation failed.
    FunctionFailed = "function-failed", Client;
    /// The tenant's deploys have used up its compile seconds of the hour.
    CompileQuota = "compile-quota", Client;
    /// The arguments, environment, export or files of a function or run are not valid.
    InvalidSetup = "invalid-setup", Client;
    /// The run used up its CPU time.
    OutOfCpu = "out-of-cpu", Guest;
    /// A tag of a task is malformed, given twice, or one too many.
    InvalidTags = "invalid-tags", Client;
    /// No such job exists for the caller's tenant.
    JobNotFound = "job-not-found", Client;
    /// The tenant has reached its limit of running jobs.
    JobQuota = "job-quota", Client;
    /// The script does not compile, fails at its top level, or defines no handler.
    InvalidScript = "invalid-script", Client;
    /// The host has no runtime for the script's language or version.
    RuntimeUnavailable = "runtime-unavailable", Client;
}

impl core::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;

    #[test]
    fn every_code_has_its_own_word() {
        let words: BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        for code in ErrorCode::ALL {
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(json, alloc::format!("\"{code}\""));
        }
    }
}
